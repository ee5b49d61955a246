// Who is here, who writes, and what people show of themselves.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { begin, launch, logIn, menu, open, row, title, until, write } from "./browser.mjs";
import { startServer } from "./server.mjs";

let server, browser, ann, bob;

before(async () => {
  server = await startServer();
  browser = await launch();
  bob = await logIn(browser, server, "bob");
  ann = await logIn(browser, server, "ann");
  await begin(ann.page, "bob");
  await write(ann.page, "hello");
  await open(bob.page, "ann");
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

const status = (page) => page.locator(".chat-bar .status");
const says = (page, text) => until(`the head says ${text}`, () => status(page).innerText(), (t) => t.includes(text));

test("typing shows while somebody writes, in the head and in the list", async () => {
  await says(ann.page, "online");
  await bob.page.getByLabel("Message", { exact: true }).pressSequentially("well");
  await says(ann.page, "typing…");
  await row(ann.page, "bob").locator(".typing").waitFor();
  await ann.page.locator(".dots").waitFor();
  await bob.page.keyboard.press("Enter");
  await says(ann.page, "online");
  await until("the dots go", () => ann.page.locator(".dots").count(), (n) => n === 0);
});

test("who has left was last seen, within two seconds", async () => {
  await bob.page.goto("about:blank");
  await says(ann.page, "last seen just now");
  await bob.page.goto(server.url);
  await says(ann.page, "online");
  await open(bob.page, "ann");
});

test("a name and a picture show for the others", async () => {
  await menu(bob.page, "Your profile");
  const dialog = bob.page.getByRole("dialog", { name: "Your profile" });
  await dialog.getByLabel("Name").fill("Robert <b>Tables</b>");
  await dialog.getByLabel("Picture").fill("javascript:alert(1)");
  await dialog.getByRole("button", { name: "Save" }).click();
  await dialog.getByText("The picture must be an https address").waitFor();
  await dialog.getByLabel("Picture").fill("https://example.invalid/bob.png");
  await dialog.getByRole("button", { name: "Save" }).click();
  await title(ann.page, "Robert <b>Tables</b>");
  await row(ann.page, "Robert <b>Tables</b>").waitFor();
});

test("who shows it to nobody is not seen", async () => {
  await menu(bob.page, "Your profile");
  const dialog = bob.page.getByRole("dialog", { name: "Your profile" });
  await dialog.getByLabel("Nobody").check();
  await dialog.getByRole("button", { name: "Save" }).click();
  await until("the dialog closes", () => dialog.count(), (n) => n === 0);
  await ann.page.reload();
  await title(ann.page, "Robert");
  await until("ann sees nothing", () => status(ann.page).innerText(), (t) => t === "");
});

test("nothing was complained about", () => {
  assert.deepEqual([...ann.errors, ...bob.errors], []);
});
