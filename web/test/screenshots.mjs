// Shows every screen at two widths in both themes, in a world that `parley demo`
// makes, and keeps them in web/screenshots; the best go to docs/screenshots.
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, readdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { bubble, Device, launch, logIn, mark, menu, open, row, until, write } from "./browser.mjs";
import { startServer } from "./server.mjs";

const out = fileURLToPath(new URL("../screenshots", import.meta.url));
const best = fileURLToPath(new URL("../../docs/screenshots", import.meta.url));

const shapes = {
  desktop: { viewport: { width: 1280, height: 800 } },
  phone: { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true },
};

/** chosen are those that are shown in the repository. */
const chosen = [
  "login desktop light", "login phone dark", "list phone light", "list phone dark",
  "chat desktop light", "chat desktop dark", "chat phone light", "chat phone dark",
  "group desktop light", "group desktop dark", "group phone light", "group phone dark",
  "read-by desktop light", "new-group desktop dark", "new-group phone light",
  "profile desktop light", "profile phone dark", "devices desktop light", "devices phone dark",
  "offline desktop light", "offline desktop dark", "offline phone light", "unread desktop dark", "revoked phone light",
];

// What the page looks like depends on the system's font. Here it is Inter, if it is
// installed, as one like it is on most systems; see docs/WEB.md.
const font = `:root { --font: "Colour Emoji", Inter, system-ui, sans-serif; }`;

const questions = ["Shall we ship it on Thursday?", "Who writes the notes?", "I do, then", "Anything that is missing?"];

/** screens show one thing each, on the page of the world's main person. */
const screens = {
  list: async (page) => { await page.locator(".conversation").first().waitFor(); },
  unread: async (page, daniel) => {
    for (const text of ["Are you coming tonight?", "Priya brings the cards 🃏", "https://example.org/maps/harbour is where it is"]) await write(daniel, text);
    await row(page, "Daniel").locator(".badge", { hasText: "3" }).waitFor();
    await open(page, "Daniel");
    await page.locator(".unread-line").waitFor();
  },
  chat: async (page, daniel) => {
    await open(page, "Daniel");
    await write(page, "Yes! At eight?");
    await mark(page, "Yes! At eight?", "read");
    await page.waitForTimeout(2500); // typing is passed on once in two seconds
    await daniel.getByLabel("Message", { exact: true }).pressSequentially("Eight is");
    await page.locator(".dots").waitFor();
  },
  group: async (page) => {
    await open(page, "Harbour release");
    await page.locator(".bubble").nth(5).waitFor();
    await page.locator(".chat-bar .who").click();
    await page.getByText(/\d+ members/).waitFor();
  },
  "read-by": async (page) => {
    await page.keyboard.press("Escape");
    const text = questions.shift();
    await write(page, text);
    await bubble(page, text).locator("button [data-mark]").waitFor();
    await bubble(page, text).getByRole("button").click();
    await page.locator(".read-by").waitFor();
  },
  menu: async (page) => {
    await home(page);
    await page.getByRole("button", { name: "Menu", exact: true }).click();
  },
  "new-chat": async (page) => {
    await home(page);
    await page.getByRole("button", { name: "New conversation" }).click();
  },
  "new-group": async (page) => {
    await home(page);
    await menu(page, "New group");
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel("Name of the group").fill("Cabin weekend");
    await dialog.getByRole("checkbox").nth(1).click();
    await dialog.getByRole("checkbox").nth(3).click();
  },
  profile: async (page) => { await home(page); await menu(page, "Your profile"); await page.getByLabel("Picture").waitFor(); },
  devices: async (page) => { await home(page); await menu(page, "Your devices"); await page.getByText("This device").waitFor(); },
};

/** home closes whatever stands above the list. */
async function home(page) {
  for (let i = 0; i < 4 && (await page.locator("dialog[open], .menu, .panes.reading").count()) > 0; i++) {
    await page.keyboard.press("Escape");
    await page.waitForTimeout(80);
  }
}

async function dress(page) {
  await page.addStyleTag({ content: font });
  await page.evaluate(() => document.fonts.ready);
}

async function main() {
  rmSync(out, { recursive: true, force: true });
  mkdirSync(out, { recursive: true });
  const server = await startServer(["demo", "--users", "24", "--messages", "8000", "--live=false"]);
  const browser = await launch();
  try {
    for (const [shape, size] of Object.entries(shapes)) {
      for (const colorScheme of ["light", "dark"]) await one(server, browser, shape, { ...size, colorScheme, bypassCSP: true });
    }
  } finally {
    await browser.close();
    await server.stop();
  }
  keepBest();
}

async function one(server, browser, shape, options) {
  const shot = async (page, name) => {
    await page.waitForTimeout(250);
    await page.screenshot({ path: join(out, `${name}-${shape}-${options.colorScheme}.png`) });
  };
  const nobody = await Device.open(browser, server, options);
  await dress(nobody.page);
  await nobody.page.getByLabel("Name", { exact: true }).waitFor();
  await shot(nobody.page, "login");
  await nobody.close();

  const maya = await logIn(browser, server, "maya", options);
  const { page } = maya;
  const daniel = await logIn(browser, server, "daniel");
  await open(daniel.page, "Maya");
  await dress(page);
  for (const [name, show] of Object.entries(screens)) {
    await home(page);
    if (name === "read-by") await screens.group(page);
    await show(page, daniel.page);
    await shot(page, name);
  }
  await home(page);
  await open(page, "Daniel");
  await daniel.close();
  await server.kill();
  await page.locator(".banner").getByText("No connection").waitFor();
  await write(page, "I am on the train, this will come later");
  await page.locator('.bubble [data-mark="queued"]').waitFor();
  await shot(page, "offline");
  await server.start();
  await page.getByRole("button", { name: "Try now" }).click().catch(() => undefined);
  await until("it is sent", () => page.locator('.bubble [data-mark="queued"]').count(), (n) => n === 0);

  const other = await logIn(browser, server, "maya");
  await menu(other.page, "Your devices");
  const dialog = other.page.getByRole("dialog", { name: "Your devices" });
  await dialog.locator(".person", { hasText: "online" }).getByRole("button").first().click();
  await other.page.getByRole("dialog", { name: "Log this device out?" }).getByRole("button", { name: "Log out" }).click();
  await page.getByRole("heading", { name: "This device was logged out" }).waitFor();
  await shot(page, "revoked");
  await other.close();
  await maya.close();
}

function keepBest() {
  rmSync(best, { recursive: true, force: true });
  mkdirSync(best, { recursive: true });
  try {
    execFileSync("pngquant", ["--force", "--ext", ".png", "--skip-if-larger", ...chosen.map((c) => join(out, `${c.replaceAll(" ", "-")}.png`))]);
  } catch { /* it is not installed: they are larger */ }
  for (const c of chosen) copyFileSync(join(out, `${c.replaceAll(" ", "-")}.png`), join(best, `${c.replaceAll(" ", "-")}.png`));
  const bytes = readdirSync(best).reduce((n, f) => n + statSync(join(best, f)).size, 0);
  console.log(`${readdirSync(out).length} screens in web/screenshots, ${chosen.length} of them (${(bytes / 1024).toFixed(0)} KiB) in docs/screenshots`);
}

await main();
