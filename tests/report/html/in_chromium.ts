/**
 * Opens pages in Chromium and prints what was seen as JSON: run with all permissions, which Playwright asks
 * of Deno, by `chromium_test.ts`, which has fewer and judges. Arguments: the browser's path, then files.
 */
import { pathToFileURL } from "node:url";
import axe from "npm:axe-core@4.14.1";
import { type Browser, chromium, type Page } from "npm:playwright-core@1.65.1";
import { layoutFaults } from "./layout_faults.js";

export interface Visit {
  readonly file: string;
  readonly scheme: "light" | "dark";
  readonly width: number;
  /** Of the whole page, with everything opened. */
  readonly scrollWidth: number;
  /** All but the page itself and what is in it. */
  readonly requests: readonly string[];
  /** The console's lines and the page's errors. */
  readonly complaints: readonly string[];
  /** Axe's, of any weight. */
  readonly violations: readonly string[];
  /** Widths of the drawings that are shown. */
  readonly drawings: readonly number[];
}

/** A page at one width, everything opened: see `layout_faults.js`. */
export interface Layout {
  readonly file: string;
  readonly width: number;
  readonly faults: readonly string[];
}

export interface Sightings {
  readonly visits: readonly Visit[];
  readonly layouts: readonly Layout[];
  /** After Tab: the class of what has the focus and where it is; after Enter: its id. */
  readonly keyboard: { readonly first: string; readonly left: number; readonly then: string };
  /** On paper, of a dark page on a phone: whether it shows, and the background. */
  readonly paper: {
    readonly narrow: boolean;
    readonly wide: boolean;
    readonly contents: boolean;
    readonly back: string;
  };
}

const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-default-apps",
  "--disable-domain-reliability",
  "--disable-sync",
  "--no-first-run",
  "--no-pings",
];

type Size = Pick<Visit, "scheme" | "width">;

const SIZES: readonly Size[] = (["light", "dark"] as const).flatMap((scheme) =>
  [360, 1280].map((width) => ({ scheme, width }))
);

async function open(browser: Browser, file: string, { scheme, width }: Size) {
  const page = await browser.newPage({ colorScheme: scheme, viewport: { width, height: 800 } });
  const url = pathToFileURL(file).href;
  const requests: string[] = [];
  const complaints: string[] = [];
  page.on("request", (request) => {
    if (request.url() !== url && !request.url().startsWith("data:")) requests.push(request.url());
  });
  page.on("console", (message) => complaints.push(message.text()));
  page.on("pageerror", (error) => complaints.push(String(error)));
  await page.goto(url);
  return { page, requests, complaints };
}

async function violationsOf(page: Page): Promise<string[]> {
  const found = await page.evaluate<{ id: string; impact: string; nodes: { html: string }[] }[]>(
    "axe.run({ resultTypes: ['violations'], preload: false }).then(({ violations }) => violations)",
  );
  return found.map(({ id, impact, nodes }) => `${impact} ${id}: ${nodes[0]!.html.slice(0, 200)}`);
}

/**
 * A file in each size; axe, which takes long, looks at all sizes of the first file and at one of the others.
 */
async function visit(browser: Browser, file: string, { isFirst }: { isFirst: boolean }): Promise<Visit[]> {
  const { page, requests, complaints } = await open(browser, file, SIZES[0]!);
  const resize = async ({ scheme, width }: Size) => {
    await page.emulateMedia({ colorScheme: scheme });
    await page.setViewportSize({ width, height: 800 });
  };
  // Shut lists count, too.
  await page.evaluate("document.querySelectorAll('details').forEach((one) => one.open = true)");
  const looks: Pick<Visit, "scrollWidth" | "drawings">[] = [];
  for (const size of SIZES) {
    await resize(size);
    looks.push({
      scrollWidth: await page.evaluate<number>("document.documentElement.scrollWidth"),
      drawings: await page.evaluate<number[]>(
        "[...document.querySelectorAll('figure > svg')].filter((one) => one.checkVisibility())" +
          ".map((one) => Math.round(one.getBoundingClientRect().width))",
      ),
    });
  }
  // Drawings are images with a name: what is inside of them is no content of its own, only work for axe.
  await page.evaluate(
    "document.querySelectorAll('figure > svg > :not(title, desc)').forEach((one) => one.remove())",
  );
  await page.evaluate(axe.source);
  const visits: Visit[] = [];
  for (const [i, size] of SIZES.entries()) {
    await resize(size);
    const violations = isFirst || i === 0 ? await violationsOf(page) : [];
    visits.push({ file, ...size, ...looks[i]!, requests, complaints, violations });
  }
  await page.close();
  return visits;
}

/** From the smallest phone to a wide screen, both sides of where the drawings change. */
const WIDTHS = [320, 360, 390, 480, 600, 699, 700, 768, 900, 1024, 1280, 1600];

async function layoutsOf(browser: Browser, file: string): Promise<Layout[]> {
  const { page } = await open(browser, file, SIZES[0]!);
  await page.evaluate("document.querySelectorAll('details').forEach((one) => one.open = true)");
  const layouts: Layout[] = [];
  for (const width of WIDTHS) {
    await page.setViewportSize({ width, height: 800 });
    layouts.push({ file, width, faults: await page.evaluate<string[]>(layoutFaults) });
  }
  await page.close();
  return layouts;
}

async function keyboard(browser: Browser, file: string): Promise<Sightings["keyboard"]> {
  const { page } = await open(browser, file, { scheme: "light", width: 1280 });
  await page.keyboard.press("Tab");
  const first = await page.evaluate<string>("document.activeElement.className");
  const left = await page.evaluate<number>("document.activeElement.getBoundingClientRect().left");
  await page.keyboard.press("Enter");
  const then = await page.evaluate<string>("document.activeElement.id");
  await page.close();
  return { first, left, then };
}

async function paper(browser: Browser, file: string): Promise<Sightings["paper"]> {
  const { page } = await open(browser, file, { scheme: "dark", width: 360 });
  await page.emulateMedia({ media: "print", colorScheme: "dark" });
  const shows = (selector: string) =>
    page.evaluate<boolean>(`document.querySelector(${JSON.stringify(selector)}).checkVisibility()`);
  const seen = {
    narrow: await shows("svg.narrow"),
    wide: await shows("svg.wide"),
    contents: await shows("nav"),
    back: await page.evaluate<string>("getComputedStyle(document.body).backgroundColor"),
  };
  await page.close();
  return seen;
}

if (import.meta.main) {
  const [executablePath, ...files] = Deno.args;
  const browser = await chromium.launch({ executablePath: executablePath!, args: FLAGS });
  try {
    const visits: Visit[] = [];
    for (const file of files) visits.push(...await visit(browser, file, { isFirst: file === files[0] }));
    const layouts: Layout[] = [];
    for (const file of files) layouts.push(...await layoutsOf(browser, file));
    const sightings: Sightings = {
      visits,
      layouts,
      keyboard: await keyboard(browser, files[0]!),
      paper: await paper(browser, files[0]!),
    };
    console.log(JSON.stringify(sightings));
  } finally {
    await browser.close();
  }
  // Playwright leaves timers behind.
  Deno.exit();
}
