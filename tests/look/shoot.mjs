// Photograph letters: node shoot.mjs CHROMIUM FOLDER
// Each NAME.html gets NAME.360.light.png and so on beside it; prints how many as JSON.
import fs from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { chromium } from "playwright-core";

const [executablePath, folder] = process.argv.slice(2);
const WIDTHS = [360, 800];
const SCHEMES = ["light", "dark"];

const names = fs.readdirSync(folder).filter((name) => name.endsWith(".html"));
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
let taken = 0;
try {
  for (const width of WIDTHS) {
    const page = await browser.newPage({ viewport: { width, height: 740 } });
    for (const name of names) {
      await page.goto(pathToFileURL(path.join(folder, name)).href);
      for (const colorScheme of SCHEMES) {
        await page.emulateMedia({ colorScheme });
        const picture = name.replace(/html$/, `${width}.${colorScheme}.png`);
        await page.screenshot({ path: path.join(folder, picture), fullPage: true });
        taken += 1;
      }
    }
    await page.close();
  }
} finally {
  await browser.close();
}
process.stdout.write(JSON.stringify(taken));
