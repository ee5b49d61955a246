// Every screen, in both themes, is looked at by axe; and what a keyboard can do.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { after, before, test } from "node:test";
import { begin, bubble, Device, launch, logIn, menu, open, row, title, until, write } from "./browser.mjs";
import { startServer } from "./server.mjs";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

let server, browser, ann, bob;

before(async () => {
  server = await startServer();
  browser = await launch();
  bob = await logIn(browser, server, "bob");
  ann = await logIn(browser, server, "ann");
  await begin(ann.page, "bob");
  for (const text of ["hello", "see https://example.com/", "😀", "a longer one, that may well take more than a line on a phone"]) await write(ann.page, text);
  await open(bob.page, "ann");
  await write(bob.page, "hi ann");
  await menu(ann.page, "New group");
  await ann.page.getByLabel("Name of the group").fill("Walkers");
  await ann.page.getByLabel("Add people by name").fill("bob");
  await ann.page.keyboard.press("Enter");
  await ann.page.getByRole("button", { name: "Make the group" }).click();
  await title(ann.page, "Walkers");
  await write(ann.page, "who walks?");
  await open(bob.page, "Walkers");
  await write(bob.page, "I do");
  await bubble(ann.page, "I do").waitFor();
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

/** serious are the findings that keep somebody out. Injected by the debugger, axe
 * needs no exception from the page's Content-Security-Policy. */
async function serious(page) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
  return violations.filter((v) => v.impact === "serious" || v.impact === "critical")
    .map((v) => `${v.id}: ${v.nodes.slice(0, 4).map((n) => `${n.html.slice(0, 160)} ${n.any[0]?.message ?? ""}`).join(" | ")}`);
}

/** screens are shown one after the other; each leaves the page as it was. */
const screens = {
  "a conversation": async (page, look) => { await open(page, "bob"); await look(); },
  "a group and its details": async (page, look) => {
    await open(page, "Walkers");
    await page.locator(".chat-bar .who").click();
    await page.getByText("2 members").waitFor();
    await look();
    await page.keyboard.press("Escape");
  },
  "who has read": async (page, look) => {
    await bubble(page, "who walks?").getByRole("button").click();
    await page.locator(".read-by").waitFor();
    await look();
  },
  "the menu": async (page, look) => {
    await page.getByRole("button", { name: "Menu", exact: true }).click();
    await look();
    await page.keyboard.press("Escape");
  },
  "a new conversation": (page, look) => dialog(page, () => page.getByRole("button", { name: "New conversation" }).click(), look),
  "a new group": (page, look) => dialog(page, () => menu(page, "New group"), look),
  "the profile": (page, look) => dialog(page, () => menu(page, "Your profile"), look),
  "the devices": (page, look) => dialog(page, () => menu(page, "Your devices"), look),
  "logging out": (page, look) => dialog(page, () => menu(page, "Log out"), look),
  "nothing found": async (page, look) => {
    await page.getByLabel("Search conversations").fill("zzz");
    await look();
    await page.keyboard.press("Escape");
  },
  "nothing open": async (page, look) => {
    await page.locator(".messages").focus();
    await page.keyboard.press("Escape");
    await page.getByText("Choose one at the left").waitFor();
    await look();
  },
};

async function dialog(page, show, look) {
  await show();
  await page.getByRole("dialog").waitFor();
  await look();
  await page.keyboard.press("Escape");
  await until("the dialog closes", () => page.getByRole("dialog").count(), (n) => n === 0);
}

for (const theme of ["light", "dark"]) {
  test(`axe finds nothing serious, ${theme}`, async (t) => {
    await ann.page.emulateMedia({ colorScheme: theme });
    for (const [name, show] of Object.entries(screens)) {
      await t.test(name, () => show(ann.page, async () => assert.deepEqual(await serious(ann.page), [])));
    }
    await t.test("the login", async () => {
      const nobody = await Device.open(browser, server, { colorScheme: theme });
      await nobody.page.getByLabel("Name", { exact: true }).waitFor();
      assert.deepEqual(await serious(nobody.page), []);
      await nobody.page.getByRole("button", { name: "Log in with a token" }).click();
      assert.deepEqual(await serious(nobody.page), []);
      await nobody.close();
    });
    await t.test("a phone", async () => {
      const phone = await logIn(browser, server, "bob", { viewport: { width: 390, height: 844 }, colorScheme: theme, hasTouch: true, isMobile: true });
      assert.deepEqual(await serious(phone.page), []);
      await open(phone.page, "Walkers");
      await bubble(phone.page, "I do").waitFor();
      assert.deepEqual(await serious(phone.page), []);
      await phone.close();
    });
  });
}

test("a keyboard goes everywhere", async () => {
  const { page } = ann;
  await page.keyboard.press("Control+k");
  await page.keyboard.type("bob");
  await page.keyboard.press("ArrowDown");
  await until("the first row has the focus", () => page.evaluate(() => document.activeElement.dataset.id !== undefined), (is) => is);
  await page.keyboard.press("Enter");
  await title(page, "bob");
  await until("the field has the focus", () => page.evaluate(() => document.activeElement.getAttribute("aria-label")), (l) => l === "Message");
  await page.getByLabel("Search conversations").fill("");
  await page.keyboard.press("Alt+ArrowUp");
  await title(page, "Walkers");
  await until("the field has the focus", () => page.evaluate(() => document.activeElement.getAttribute("aria-label")), (l) => l === "Message");
  await row(page, "Walkers").focus();
  await page.keyboard.press("ArrowDown");
  await until("the next row has the focus", () => page.evaluate(() => document.activeElement.querySelector(".name")?.textContent), (name) => name === "bob");
  await page.keyboard.press("Escape");
  await page.getByText("Choose one at the left").waitFor();
  await page.getByRole("button", { name: "Menu", exact: true }).focus();
  await page.keyboard.press("Enter");
  await page.keyboard.press("ArrowDown");
  await until("the first item has the focus", () => page.evaluate(() => document.activeElement.textContent), (text) => text === "Your profile");
  await page.keyboard.press("Escape");
  await until("the button has it again", () => page.evaluate(() => document.activeElement.getAttribute("aria-label")), (l) => l === "Menu");
});
