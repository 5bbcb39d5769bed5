/** Pages for people: one self-contained HTML file each. Import it lazily; it loads the plotting libraries. */
export { type Build, buildPage } from "./build_page.ts";
export { meaning } from "./head.ts";
export { type History, HistorySchema, historySection } from "./history.ts";
export { type Content, Html, html } from "./markup.ts";
export { type Page, page, type Section } from "./page.ts";
export {
  badge,
  breakable,
  type Canvas,
  type Column,
  details,
  type Figure,
  figure,
  legend,
  milliseconds,
  name,
  note,
  percentOf,
  table,
  type Tile,
  tiles,
} from "./parts.ts";
export { costLine, type DotRow, dots } from "./dots.ts";
export { type TensorError, tensorErrors } from "./errors.ts";
export { type IntervalRow, intervals } from "./intervals.ts";
export { distributions, type Ratios, roundRatios, type Samples } from "./plots.ts";
export { type HistoryChange, type HistoryPoint, timeline } from "./timeline.ts";
export { type ScheduleColumn, type ScheduleRow, scheduleRows, schedules } from "./schedule.ts";
export { type Word, words } from "./words.ts";
