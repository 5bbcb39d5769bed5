/** Long work without a pause hears neither Ctrl-C nor a timer: it pauses here now and then. */

/** How long work may go on between two pauses. */
export const PAUSE_EVERY_MS = 100;

/**
 * Signals, timers and progress have their turn.
 *
 * @throws the signal's reason
 */
export async function pause(signal?: AbortSignal): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve));
  signal?.throwIfAborted();
}
