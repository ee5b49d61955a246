// A group: made, named, filled, emptied. What happens is told in it, to all.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { bubble, launch, logIn, mark, menu, open, row, title, until, write } from "./browser.mjs";
import { startServer } from "./server.mjs";

let server, browser, ann, bob, cem;

before(async () => {
  server = await startServer();
  browser = await launch();
  [ann, bob, cem] = [await logIn(browser, server, "ann"), await logIn(browser, server, "bob"), await logIn(browser, server, "cem")];
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

const told = (page, text) => page.locator(".system", { hasText: text }).waitFor();
const details = (page) => page.locator(".chat-bar .who").click();
const about = (page, name) => page.getByRole("button", { name: `What to do about ${name}` }).click();

async function add(dialog, name) {
  await dialog.getByLabel("Add people by name").fill(name);
  await dialog.getByLabel("Add people by name").press("Enter");
}

test("ann makes a group with bob, and both write in it", async () => {
  await menu(ann.page, "New group");
  const dialog = ann.page.getByRole("dialog");
  await dialog.getByLabel("Name of the group").fill("Walkers");
  await add(dialog, "bob");
  await dialog.getByRole("button", { name: "Make the group" }).click();
  await title(ann.page, "Walkers");
  await told(ann.page, "You created the group “Walkers”");
  await open(bob.page, "Walkers");
  await told(bob.page, "ann created the group “Walkers”");
  await write(ann.page, "sunday at nine?");
  await bubble(bob.page, "sunday at nine?").waitFor();
  await bob.page.locator(".bubble .from", { hasText: "ann" }).waitFor();
});

test("cem is added, and the ticks say who has read", async () => {
  await details(ann.page);
  await ann.page.getByRole("button", { name: "Add people" }).click();
  const dialog = ann.page.getByRole("dialog");
  await add(dialog, "cem");
  await dialog.getByRole("button", { name: "Add 1" }).click();
  await told(bob.page, "ann added cem");
  await ann.page.getByText("3 members").waitFor();
  await write(ann.page, "welcome, cem");
  await ann.page.getByText("Read by 1 of 2").waitFor();
  await mark(ann.page, "welcome, cem", "delivered");
  await open(cem.page, "Walkers");
  await told(cem.page, "ann added you");
  await mark(ann.page, "welcome, cem", "read");
  await bubble(ann.page, "welcome, cem").getByRole("button").click();
  const panel = ann.page.locator(".read-by");
  await panel.getByText("Read by 2 of 2").waitFor();
  assert.deepEqual((await panel.locator("li bdi").allInnerTexts()).sort(), ["bob", "cem"]);
  await bubble(ann.page, "welcome, cem").getByRole("button").click();
});

test("the group is renamed, on every screen", async () => {
  await ann.page.getByRole("button", { name: "Rename the group" }).click();
  await ann.page.getByRole("textbox", { name: "Name of the group" }).fill("Hikers");
  await ann.page.getByRole("button", { name: "Save the name" }).click();
  await title(bob.page, "Hikers");
  await told(bob.page, "ann named the group “Hikers”");
  await row(cem.page, "Hikers").waitFor();
});

test("roles: bob becomes an admin, and may remove cem", async () => {
  await about(ann.page, "bob");
  await ann.page.getByRole("menuitem", { name: "Make admin" }).click();
  await told(bob.page, "ann made you an admin");
  await details(bob.page);
  await about(bob.page, "cem");
  await bob.page.getByRole("menuitem", { name: "Remove from the group" }).click();
  await bob.page.getByRole("button", { name: "Remove", exact: true }).click();
  await told(ann.page, "bob removed cem");
  await until("cem's list", () => row(cem.page, "Hikers").count(), (n) => n === 0);
});

test("bob leaves, and ann is alone in it", async () => {
  await bob.page.getByRole("button", { name: "Leave the group" }).click();
  await bob.page.getByRole("button", { name: "Leave", exact: true }).click();
  await until("bob's list", () => row(bob.page, "Hikers").count(), (n) => n === 0);
  await told(ann.page, "bob left");
  await ann.page.getByText("1 member", { exact: true }).waitFor();
});

test("nothing was complained about", () => {
  assert.deepEqual([...ann.errors, ...bob.errors, ...cem.errors], []);
});
