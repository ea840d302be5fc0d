// Opens the live page of a session in Chromium, and checks its picture by structure: which marks
// each row has, in which order, and that nothing covers anything else.
// Arguments: the kind of session, the URL, a file for the screenshot, a file that is written when
// the page is live, and one that is awaited before the checks.

import assert from "node:assert/strict";
import { existsSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

import { chromium } from "playwright-core";

const [kind, url, screenshot, ready, done] = process.argv.slice(2);

/** What a page must show: the marks of each row in order, texts, and what it must not say. */
const EXPECTED = {
  idle: {
    rows: { session: /^opened watched$/, standalone: /^$/ },
    bars: { standalone: ["open"] },
    says: ["Nothing is missing", "no request since this page was opened"],
  },
  busy: {
    rows: {
      session: /^opened watched$/,
      standalone: /^$/,
      0: COMPLETE(), 1: COMPLETE(), 2: COMPLETE(), 3: COMPLETE(),
      4: /^began attached sent:priming sent:response ended ends acknowledged$/,
      5: /^began attached sent:priming sent:response ended ends acknowledged$/,
      6: /^began attached sent:priming( sent:message| acknowledged)+$/,
    },
    bars: { standalone: ["open"], 0: ["ends"], 6: ["open"] },
    says: ["7 requests", "6 were answered", "1 is waiting", "Nothing is missing", "tools/call count", "tools/call echo"],
  },
  broken: {
    rows: {
      session: /^opened watched rejected closed$/,
      standalone: /^$/,
      0: /^began attached sent:priming( sent:message| acknowledged)+ lost( kept)+ ended resumed( sent:message)* sent:response ends acknowledged$/,
      1: /^began attached sent:priming( sent:message| acknowledged)+ lost( kept)+ ended resumed gap( sent:message)+ sent:response ends acknowledged$/,
      2: /^began attached sent:priming sent:response ended ends acknowledged$/,
    },
    bars: { 0: ["lost", "ends"], 1: ["lost", "ends"], 2: ["ends"] },
    says: [
      "A connection was lost 2 times", "The client came back 2 times", "missing for good", "1 message was refused",
      "The session ended: the client ended it", "no longer kept when the client came back",
      "The client came back on connection", "asked for what follows event 1",
    ],
  },
  slow: {
    rows: {
      session: /^opened watched( dropped)*$/,
      standalone: /^$/,
      0: /^began attached sent:priming( sent:message| acknowledged)+ timed-out sent:failure ended ends acknowledged$/,
      1: /^began attached sent:priming( sent:message| acknowledged)+ lost( kept)* timed-out kept ended resumed( sent:message)* sent:failure ends acknowledged$/,
    },
    bars: { 0: ["ends"], 1: ["lost", "ends"] },
    says: [
      "2 ended in another way", "2 errors are in place of a response", "timed out",
      "The server took too long to answer request 1", "Request 2 failed: the server took too long",
      "An error is kept for the client in place of a response, as event",
    ],
  },
  away: {
    rows: {
      session: /^opened watched( dropped)*$/,
      standalone: /^$/,
      0: /^began attached sent:priming( sent:message| acknowledged)+ lost( kept)* timed-out kept ended$/,
    },
    bars: { 0: ["lost"] },
    says: ["1 error is in place of a response", "The client has not come back"],
    hides: ["Nothing is missing"],
  },
}[kind];

/** A call with progress: its events are drawn one by one, or as runs. */
function COMPLETE() {
  return /^began attached sent:priming( sent:message| acknowledged)+ sent:response ended ends acknowledged$/;
}

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox"],
});
try {
  for (const [width, colorScheme] of [[1280, "light"], [700, "dark"]]) await run(width, colorScheme);
} finally {
  await browser.close();
}

async function run(width, colorScheme) {
  const isFirst = colorScheme === "light";
  const page = await browser.newPage({ viewport: { width, height: 900 }, colorScheme });
  const complaints = [];
  page.on("pageerror", (error) => complaints.push(error.message));
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) complaints.push(message.text());
  });
  if (!isFirst) {
    // The session is the same: only what depends on the size is checked.
    await page.goto(new URL("/", url).href);
    await page.waitForFunction(() => document.querySelector("#total")?.textContent.includes("session"));
    await checkWidth(page);
    assert.deepEqual(complaints, []);
    console.log(`ok: ${kind}: the list fits into ${width} pixels`);
    return;
  }
  await page.goto(url);
  await page.waitForSelector("#session[data-ready=true]");
  writeFileSync(ready, "");
  while (!existsSync(done)) await sleep(20);
  const deadline = Date.now() + 20_000;
  let drawn = await read(page);
  // The page is up to date soon, but not at once.
  while (mismatch(drawn.rows) && Date.now() < deadline) {
    await sleep(50);
    drawn = await read(page);
  }
  const { rows } = drawn;
  await page.screenshot({ path: screenshot, fullPage: true });
  assert.equal(mismatch(rows), undefined, JSON.stringify(rows.map(({ name, marks }) => [name, marks.map(named).join(" ")]), null, 1));
  console.log(`ok: ${kind}: each row has its marks`);
  for (const row of rows) checkPositions(row);
  console.log(`ok: ${kind}: marks are in order, and none covers another`);
  checkText(drawn);
  await checkWidth(page);
  assert.deepEqual(complaints, []);
  console.log(`ok: ${kind}: the text is there, and the page fits`);
}

/** Returns all that the page shows, at one time: it goes on drawing. */
function read(page) {
  return page.evaluate(() => ({
    text: document.querySelector("main").innerText,
    lines: document.querySelectorAll("#text tbody tr").length,
    labels: document.querySelectorAll("#labels .label").length,
    description: document.querySelector("#picture desc").textContent,
    rows: [...document.querySelectorAll("#picture g.row")].map((row) => ({
      name: row.dataset.row,
      top: row.querySelector(".band").y.baseVal.value,
      bottom: row.querySelector(".band").y.baseVal.value + row.querySelector(".band").height.baseVal.value,
      bars: [...row.querySelectorAll("rect.connection")].map((bar) => bar.getAttribute("class").replace("connection ", "")),
      marks: [...row.querySelectorAll("g.mark")].map((mark) => {
        const { x, y, width, height } = mark.getBBox();
        return {
          kind: mark.dataset.kind, classes: mark.getAttribute("class").split(" "), at: Number(mark.dataset.at),
          title: mark.querySelector("title").textContent, x, y, width, height,
        };
      }),
    })),
  }));
}

function named({ kind: name, classes }) {
  const known = ["priming", "response", "failure", "message", "request"].find((word) => classes.includes(word));
  return name === "sent" ? `sent:${known}` : name;
}

/** Returns what is not as expected. */
function mismatch(rows) {
  const names = rows.map((row) => row.name).sort();
  const expected = Object.keys(EXPECTED.rows).sort();
  if (names.join() !== expected.join()) return `rows ${names}`;
  for (const row of rows) {
    const marks = row.marks.map(named).join(" ");
    if (!EXPECTED.rows[row.name].test(marks)) return `row ${row.name}: ${marks}`;
    const bars = EXPECTED.bars[row.name];
    if (bars && row.bars.join() !== bars.join()) return `row ${row.name}: bars ${row.bars}`;
  }
  return undefined;
}

function checkPositions(row) {
  const { marks, top, bottom } = row;
  for (const [index, mark] of marks.entries()) {
    assert.ok(mark.title.length > 10, `a mark without a sentence: ${mark.kind}`);
    assert.ok(mark.y >= top && mark.y + mark.height <= bottom, `${mark.kind} is outside of its row ${row.name}`);
    assert.ok(mark.x >= 0, `${mark.kind} is cut off`);
    const next = marks[index + 1];
    if (next) {
      assert.ok(mark.at <= next.at, `${mark.kind} at ${mark.at} is before ${next.kind} at ${next.at}`);
      const [middle, nextMiddle] = [mark, next].map(({ x, width }) => x + width / 2);
      assert.ok(middle <= nextMiddle + 1, `${mark.kind} is drawn after ${next.kind}`);
    }
    for (const other of marks.slice(index + 1)) {
      const isApart = mark.x + mark.width <= other.x || other.x + other.width <= mark.x
        || mark.y + mark.height <= other.y || other.y + other.height <= mark.y;
      assert.ok(isApart, `${mark.kind} and ${other.kind} overlap in row ${row.name}`);
    }
  }
}

function checkText({ rows, text, lines, labels, description }) {
  for (const part of EXPECTED.says) assert.ok(text.includes(part), `the page does not say: ${part}\n${text}`);
  for (const word of [...EXPECTED.hides ?? [], "undefined", "NaN", "[object", "null"]) assert.ok(!text.includes(word), `the page says ${word}`);
  const marks = rows.reduce((sum, row) => sum + row.marks.length, 0);
  assert.equal(lines, marks, "the table has a line for each mark");
  assert.equal(labels, rows.length, "each row has a label");
  assert.ok(description.includes(`${marks} mark`), description);
}

async function checkWidth(page) {
  const { scroll, client } = await page.evaluate(() => ({
    scroll: document.documentElement.scrollWidth, client: document.documentElement.clientWidth,
  }));
  assert.ok(scroll <= client, `the page is ${scroll - client} pixels too wide`);
}
