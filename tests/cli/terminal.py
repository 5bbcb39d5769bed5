"""Runs a command under a pseudo-terminal of 80 columns: terminal.py SECONDS COMMAND... prints what it printed, and exits with
its code; 124 where it takes too long, as it does where it waits for an answer."""
import fcntl, os, pty, select, signal, struct, sys, termios, time

pid, fd = pty.fork()
if pid == 0:
    os.execvp(sys.argv[2], sys.argv[2:])
fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
end = time.time() + float(sys.argv[1])
while True:
    if not select.select([fd], [], [], max(0, end - time.time()))[0]:
        os.kill(pid, signal.SIGKILL)
        sys.exit(124)
    try:
        text = os.read(fd, 65536)
    except OSError:  # Linux's word for the end.
        text = b""
    if not text:
        break
    sys.stdout.buffer.write(text)
    sys.stdout.flush()
status = os.waitpid(pid, 0)[1]
sys.exit(os.waitstatus_to_exitcode(status) & 255)
