// Judge the HTML of letters: node judge.mjs CHROMIUM FOLDER
// Prints one JSON object: for each file of the folder what the three judges hold against it.
import fs from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";
import axe from "axe-core";
import { caniemail } from "caniemail";
import { HtmlValidate } from "html-validate";
import { chromium } from "playwright-core";

const [browserPath, folder] = process.argv.slice(2);
const PAGES = 3; // at a time: what Chromium renders in one, we judge in another

// Styles in tags are the point. The subject, of up to 100 characters, is a letter's title
// and its first heading, and is no part of the page. Outlook reads conditional comments.
const grammar = new HtmlValidate({
  extends: ["html-validate:recommended"],
  rules: {
    "no-inline-style": "off",
    "heading-level": ["error", { minInitialRank: "h2" }],
    "long-title": "off",
    "no-conditional-comment": "off",
  },
});

function grammarFaults(html) {
  return grammar
    .validateStringSync(html)
    .results.flatMap((result) => result.messages)
    .map((fault) => `${fault.ruleId}: ${fault.message} (line ${fault.line})`);
}

// Windows Mail (outlook.windows-mail) is no Outlook, and was withdrawn in 2024.
const CLIENTS = ["gmail.*", "apple-mail.*", "outlook.!(windows-mail)"];

function mailFaults(html) {
  // Partial support is no fault: it is what every program has of margins.
  const { errors } = caniemail({ clients: CLIENTS, html }).issues;
  const named = [...errors].flatMap(([client, list]) =>
    list.map((issue) => `${issue.title}: ${client}`),
  );
  return [...new Set(named)];
}

// A letter is no page of a site: it is shown inside one that has the landmarks.
const RULES = Object.fromEntries(
  ["region", "landmark-one-main", "page-has-heading-one"].map((id) => [id, { enabled: false }]),
);

async function eyeFaults(page, file) {
  const remote = [];
  const listener = (request) => {
    if (!request.url().startsWith("file:")) remote.push(`fetches ${request.url()}`);
  };
  page.on("request", listener);
  await page.emulateMedia({ colorScheme: "light" });
  await page.goto(pathToFileURL(file).href);
  const faults = await page.evaluate(run, { rules: RULES, scheme: "light" });
  await page.emulateMedia({ colorScheme: "dark" });
  const only = { runOnly: ["color-contrast"], scheme: "dark" };
  faults.push(...(await page.evaluate(run, only)));
  const wide = await page.evaluate(
    () => document.documentElement.scrollWidth - window.innerWidth,
  );
  if (wide > 0) faults.push(`is ${wide} pixels wider than the screen`);
  page.off("request", listener);
  return [...faults, ...remote];
}

async function run({ scheme, ...options }) {
  const { violations, incomplete } = await window.axe.run(document, options);
  return [...violations, ...incomplete].flatMap((fault) =>
    fault.nodes.map((node) => `${fault.id} (${scheme}): ${node.html} ${node.failureSummary}`),
  );
}

const names = fs.readdirSync(folder).filter((name) => name.endsWith(".html")).sort();
const verdicts = {};
const browser = await chromium.launch({ executablePath: browserPath, args: ["--no-sandbox"] });
try {
  const context = await browser.newContext({ viewport: { width: 360, height: 740 } });
  await context.addInitScript(axe.source);
  const queue = [...names];
  await Promise.all(
    Array.from({ length: PAGES }, async () => {
      const page = await context.newPage();
      for (let name = queue.shift(); name !== undefined; name = queue.shift()) {
        const file = path.join(folder, name);
        const html = fs.readFileSync(file, "utf8");
        verdicts[name] = {
          grammar: grammarFaults(html),
          mail: mailFaults(html),
          eye: await eyeFaults(page, file),
        };
      }
    }),
  );
} finally {
  await browser.close();
}
process.stdout.write(JSON.stringify(verdicts));
