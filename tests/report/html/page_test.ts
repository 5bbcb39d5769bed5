/** The pages as text; how they look and behave in a browser is `chromium_test.ts`. */
import assert from "node:assert/strict";
import { buildPage, html, name, page, table } from "../../../src/report/html/mod.ts";
import { type CheckpointReport, ReportSchema } from "../../../src/report/report.ts";
import { sampleBuild } from "./sample_build.ts";

const idsOf = (text: string) => [...text.matchAll(/ id="([^"]*)"/g)].map(([, id]) => id!);

Deno.test("html`` escapes what it is given and lets its own markup through", () => {
  const hostile = `<img src=x onerror="alert('1')">&`;
  assert.equal(
    String(html`<p title="${hostile}">${[hostile, html`<b>${1}</b>`, null, undefined]}</p>`),
    '<p title="&lt;img src=x onerror=&quot;alert(&#39;1&#39;)&quot;&gt;&amp;">&lt;img src=x onerror=&quot;alert(&#39;1&#39;)&quot;&gt;&amp;<b>1</b></p>',
  );
});

Deno.test("page() has a language, a policy that loads nothing, contents, and headings in order", () => {
  const text = page({
    title: "A & B",
    sections: [
      { id: "one", title: "One", body: "text", parts: [{ id: "part", title: "Part", body: "more" }] },
      { id: "two", title: "Two", body: html`<b>x</b>` },
    ],
  });
  assert.match(text, /^<!DOCTYPE html>\n<html lang="en">/);
  assert.match(
    text,
    /content="default-src &#39;none&#39;; style-src &#39;unsafe-inline&#39;; img-src data:"/,
  );
  assert.match(text, /<title>A &amp; B<\/title>/);
  assert.deepEqual([...text.matchAll(/href="#(\w+)"/g)].map(([, id]) => id), ["main", "one", "two"]);
  assert.deepEqual(
    [...text.matchAll(/<h(\d)[^>]*>([^<]*)/g)].map(([, level, title]) => `${level} ${title}`),
    [
      "1 A &amp; B",
      "2 One",
      "3 Part",
      "2 Two",
    ],
  );
});

Deno.test("table() heads its columns and rows, and scrolls by itself", () => {
  const text = String(
    table({ caption: "C", columns: [{ title: "a" }, { title: "b" }], rows: [["x", 1], ["y", 2]] }),
  );
  assert.match(
    text,
    /<div class="scroll" role="group" aria-label="C" tabindex="0">\n<table>\n<caption>C<\/caption>/,
  );
  assert.equal(text.match(/<th scope="col"/g)?.length, 2);
  assert.equal(text.match(/<th scope="row"/g)?.length, 2);
});

Deno.test("buildPage() shows the verdict, the kernels, each fold and the words for them", () => {
  const text = buildPage([sampleBuild()]);
  assert.match(
    text,
    /<span class="badge good">faster<\/span> \u2212\d\.\d\s% time against the reference, 95 % interval/,
  );
  assert.match(text, /UN: 13 kernels, 0 of them normalizations/);
  assert.match(text, /LN: 17 kernels, 4 of them normalizations/);
  assert.match(
    text,
    /blocks\.3\.norm1<\/span><\/th><td class="breaks"><span class="badge good">folded<\/span> into <span class="name">blocks\.3\.attn\.qkv</,
  );
  for (const word of ["Kernel", "Latency on a CPU", "95 % interval", "Noise band"]) {
    assert.ok(text.includes(`<dt>${word}</dt>`), word);
  }
  assert.match(text, /rounds favour UN/);
});

/** A page's text, without its markup. */
const textOf = (page: string) => page.replace(/<style>[^]*<\/style>|<[^>]+>/g, "");

Deno.test("buildPage() says first what UN and LN are, then date, command, commit and targets", () => {
  const text = textOf(buildPage([sampleBuild()]));
  const sentence =
    "UN is Unified Normalization, folded into the linear layers around it; LN is Layer Normalization";
  assert.ok(text.indexOf(sentence) >= 0 && text.indexOf(sentence) < text.indexOf("Result"));
  assert.ok(text.includes("engines by TensorRT 1.7.1 for compute capability 8.9, 12.0."));
  assert.ok(
    text.includes(
      "2026-01-02 03:04 UTC, deno task build-engine tiny.ts --precision fp16, commit 0123456789 with changes, UNfold 0.1.0.",
    ),
  );
});

Deno.test("buildPage() calls no family folded of which nothing folded, whatever another build's did", () => {
  const { report, ...build } = sampleBuild();
  const { un, ...rest } = report.engines;
  const kept = { ...report, engines: { ln: un!, ...rest }, norms: { ...report.norms, folded: 0 } };
  const text = textOf(buildPage([{ ...build, report: kept }, sampleBuild()]));
  assert.ok(text.includes("LN is Layer Normalization; UN is Unified Normalization, folded into"));
});

Deno.test("buildPage() reads reports of before they said when and how they were made", () => {
  const build = sampleBuild();
  const { provenance: _, targets: __, notExecuted: ___, ...older } = build.report;
  const report = ReportSchema.parse(JSON.parse(JSON.stringify(older)));
  assert.ok(textOf(buildPage([{ ...build, report }])).includes("engines by TensorRT 1.7.1; UNfold 0.1.0."));
});

Deno.test("buildPage() says beside the agreement of a checkpoint what it does not prove, and what was assumed", () => {
  const build = sampleBuild();
  const settled = [
    { name: "heads", value: "6", basis: "assumed", why: "64 channels a head" },
    { name: "epsilon", value: "0.1", basis: "said", why: "config.json says eps" },
  ] as const;
  const checkpoint = {
    path: "un.pth",
    format: "timm ViT",
    stateDict: null,
    prefix: "",
    ignored: [],
    settled,
  };
  const read = (agrees: boolean | null, checkpoint: CheckpointReport | null) =>
    textOf(buildPage([{
      ...build,
      report: { ...build.report, checkpoint, parity: { ...build.report.parity!, agrees } },
    }]));
  const said = "says nothing of whether the network is the file's";
  const page = read(null, checkpoint);
  assert.ok(page.includes(said) && page.includes("heads 6: 64 channels a head"), page);
  assert.ok(!page.includes("epsilon 0.1"));
  // Compared with PyTorch's outputs, or of no checkpoint, there is nothing to add.
  assert.ok(!read(true, checkpoint).includes(said) && !read(null, null).includes(said));
});

Deno.test("buildPage() heads no verdict of no difference with a ratio", () => {
  const build = sampleBuild();
  const latency = { ...build.report.latency!, verdict: "no difference shown", ratio: 0.749 } as const;
  const undecided = { ...build, report: { ...build.report, latency } };
  const one = buildPage([undecided]);
  assert.match(
    one,
    /<dd class="figure quiet">no difference shown<\/dd><dd class="detail">\u2212\d\.\d\s% to/,
  );
  assert.ok(!/<dd class="figure[^>]*>\u221225\.1/.test(one));
  const table = /<table>\s*<caption>All builds[^]*?<\/table>/.exec(buildPage([undecided, build]))![0];
  assert.ok(!table.includes("25.1") && table.includes("no difference shown"));
});

Deno.test("name() parts what is long behind its signs and breaks nothing else", () => {
  assert.equal(String(name("blocks.0.norm1")), '<span class="name">blocks.0.norm1</span>');
  assert.equal(
    String(name("a --blocks.0.attn.qkv/attention/matmul#2_U28")),
    '<span class="name">a</span> <span class="name long">--<wbr>blocks.<wbr>0.<wbr>attn.<wbr>qkv/<wbr>attention/<wbr>matmul#2_<wbr>U28</span>',
  );
});

Deno.test("buildPage() names what overflows and what comes near, and what was not executed", () => {
  const text = buildPage([sampleBuild({ name: "stand-in" })]);
  for (
    const said of [
      "Range in fp16",
      "UN 1 of 20 tensors overflow (8 examples: stand-in)",
      "LN fits, at most 9.50 (8 examples: stand-in)",
      "the residual stream divided by 2",
      "2.00e+5",
      "fp32 softmax: 2 of UN; 2 of LN",
      "16 of 18",
      "99.17 % to 98.89 %",
      "stay in fp16 for accuracy",
      "ranges of 360 sample inputs by mse, SmoothQuant 0.5 of one tensor, biases corrected",
      "Not executed",
    ]
  ) assert.ok(text.includes(said), said);
});

Deno.test("buildPage() of several builds compares them first and tells alike ones apart", () => {
  const text = buildPage([sampleBuild(), sampleBuild({ name: "small", seed: 2 }), sampleBuild({ seed: 3 })]);
  assert.match(text, /<a href="#build-3">tiny, fp16, batch 8 \(2\)<\/a>/);
  assert.ok(text.indexOf('id="overview-ratios"') < text.indexOf('id="build-1"'));
  const ids = idsOf(text);
  assert.equal(new Set(ids).size, ids.length, "an id occurs twice");
});

Deno.test("buildPage() says what is missing instead of leaving it out", () => {
  const build = sampleBuild();
  const { un, ...report } = build.report.engines;
  const text = buildPage([{
    ...build,
    report: {
      ...build.report,
      latency: null,
      accuracy: null,
      engines: { un: { ...un!, kernels: null, normalizationKernels: null, unknown: "odd" }, ...report },
    },
    plans: { un: { missing: "un.plan is not there" } },
  }]);
  assert.match(text, /Schedules that cannot be shown:.*UN: un\.plan is not there/s);
  assert.match(text, /<td class="right">unknown<\/td>/);
  assert.ok(!text.includes('id="latency"') && !text.includes("Noise band"));
});

Deno.test("buildPage() escapes every text of a report, in markup and in drawings", () => {
  const name = `"><script>alert(1)</script><b x='&`;
  const text = buildPage([sampleBuild({ name }), sampleBuild({ name, seed: 2 })]);
  assert.ok(!/<script|<b x=/.test(text));
  assert.ok(text.includes("&lt;script&gt;alert(1)&lt;/script&gt;"));
});

Deno.test("buildPage() stays under 2 MB with many builds, rounds and blocks, and loads nothing", () => {
  const text = buildPage(
    Array.from({ length: 6 }, (_, seed) => sampleBuild({ rounds: 8000, blocks: 60, seed })),
  );
  assert.ok(new TextEncoder().encode(text).length < 2e6);
  assert.ok(!/<script|<link(?![^>]*href="data:,")|<img|url\(|@import|https?:\/\/(?!www\.w3\.org)/.test(text));
});

Deno.test("buildPage() of the same build is the same page", () => {
  assert.equal(buildPage([sampleBuild()]), buildPage([sampleBuild()]));
});
