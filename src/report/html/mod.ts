/** Pages for people: one HTML file each, complete in itself. Import it lazily; it brings the plotting libraries along. */
export { type Build, buildPage } from "./build_page.ts";
export { type Content, Html, html } from "./markup.ts";
export { type Page, page, type Section } from "./page.ts";
export {
  badge,
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
export {
  distributions,
  type HistoryChange,
  type HistoryPoint,
  type IntervalRow,
  intervals,
  type Ratios,
  roundRatios,
  type Samples,
  timeline,
} from "./plots.ts";
export { type ScheduleColumn, type ScheduleRow, scheduleRows, schedules } from "./schedule.ts";
export { type Word, words } from "./words.ts";
