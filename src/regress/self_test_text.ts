/** A self-test for people: its runs as a table, and what they showed. Pure; colour is the caller's. */
import { percent } from "../report/metrics.ts";
import { table, wrapped } from "../report/table.ts";
import type { SelfTest, SelfTestRun } from "./self_test.ts";

/** The whole self-test, in 80 columns. */
export function selfTestText(
  test: SelfTest,
  style: (text: string, style: "green" | "yellow" | "red") => string,
): string {
  const rows = test.runs.map(({ planted, latency: { ratio, noise, verdict }, nodes, durationMs }, i) => [
    String(i + 1),
    planted,
    signed(ratio?.median),
    signed(ratio?.low),
    signed(ratio?.high),
    noise === null ? "" : signed(noise.high).slice(1),
    seconds(durationMs),
    verdict,
    nodes.verdict,
  ]);
  const colour = !test.passed ? "red" : test.undecided === 0 ? "green" : "yellow";
  return [
    table([["", "planted", "time", "from", "to", "noise", "took", "latency", "nodes"], ...rows], {
      align: ["right", "left", "right", "right", "right", "right", "right", "left"],
    }),
    "",
    ...wrapped(shown(test)).map((line) => style(line, colour)),
  ].join("\n");
}

/** What was shown, and nothing that was not. */
export function shown({ runs, falseAlarms, undecided, foundSlowdown, foundNode }: SelfTest): string {
  const against = runs.filter(({ planted }) => planted === "nothing");
  const alarms = falseAlarms === 0 ? "no false alarm" : `${falseAlarms} false alarms`;
  const longest = seconds(Math.max(...against.map(({ durationMs }) => durationMs)));
  const same = against.length - undecided - falseAlarms;
  const told = undecided === 0
    ? ""
    : `, of which ${same} were told to be the same and ${undecided} could not be told in up to ${longest}`;
  const slow = runs.find(({ planted }) => planted === "10 % more work")!;
  const slowdown = foundSlowdown
    ? `10 % more work is found, as ${interval(slow)}, in ${seconds(slow.durationMs)}`
    : `10 % more work is not found in ${seconds(slow.durationMs)}`;
  const node = foundNode ? "one more node is found, by structure alone" : "one more node is not found";
  const smaller = undecided * 2 > against.length
    ? " Small differences need a quieter machine or more --max-time here."
    : "";
  return `Shown here: ${alarms} in ${against.length} runs of a network against itself${told}; ${slowdown}; ${node}.${smaller}`;
}

const seconds = (ms: number) => `${(ms / 1000).toFixed(ms < 9950 ? 1 : 0)} s`;

const signed = (ratio: number | undefined) => ratio === undefined ? "" : percent(ratio);

const interval = ({ latency: { ratio } }: SelfTestRun) =>
  ratio === null ? "slower" : `${signed(ratio.median)} (${signed(ratio.low)} to ${signed(ratio.high)})`;
