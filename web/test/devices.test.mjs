// Several devices and tabs of one user agree; a device can be shut out; tokens end.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { begin, bubble, Device, launch, logIn, mark, menu, online, open, row, texts, until, write } from "./browser.mjs";
import { startServer } from "./server.mjs";

let server, browser, ann, phone, bob;

before(async () => {
  server = await startServer();
  browser = await launch();
  bob = await logIn(browser, server, "bob");
  ann = await logIn(browser, server, "ann");
  phone = await logIn(browser, server, "ann", { viewport: { width: 390, height: 844 } });
  await begin(bob.page, "ann");
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

const badge = (page, name) => row(page, name).locator(".badge");

test("what is read on one device is read on the other", async () => {
  await write(bob.page, "both of you?");
  await badge(ann.page, "bob").waitFor();
  await badge(phone.page, "bob").waitFor();
  await open(phone.page, "bob");
  await mark(bob.page, "both of you?", "read");
  await until("ann's other device", () => badge(ann.page, "bob").count(), (n) => n === 0);
});

test("what is sent from one device shows on the other, with its ticks", async () => {
  await write(phone.page, "from my phone");
  await open(ann.page, "bob");
  await mark(ann.page, "from my phone", "read");
  await phone.page.getByRole("button", { name: "Back to the list" }).click();
});

test("marked as unread and muted, on every device", async () => {
  await ann.page.getByRole("button", { name: "Conversation menu" }).click();
  await ann.page.getByRole("menuitem", { name: "Mute" }).click();
  await row(phone.page, "bob").getByText("muted").waitFor({ state: "attached" });
  await ann.page.keyboard.press("Escape");
  await open(phone.page, "bob");
  await phone.page.getByRole("button", { name: "Conversation menu" }).click();
  await phone.page.getByRole("menuitem", { name: "Unmute" }).click();
  await until("muted", () => row(ann.page, "bob").getByText("muted").count(), (n) => n === 0);
  await phone.page.getByRole("button", { name: "Back to the list" }).click();
});

test("two tabs of a browser share what they hold, and each message is there once", async () => {
  const second = await ann.tab();
  await online(second);
  await open(second, "bob");
  await open(ann.page, "bob");
  await write(second, "from the second tab");
  await write(ann.page, "from the first tab");
  for (const page of [ann.page, second, bob.page]) {
    const all = await until("both messages", () => texts(page), (t) => t.some((x) => x.includes("second tab")) && t.some((x) => x.includes("first tab")));
    assert.equal(all.filter((t) => t.includes("second tab")).length, 1);
    assert.equal(all.filter((t) => t.includes("first tab")).length, 1);
  }
  await ann.page.close(); // the tab that leads, maybe: the other goes on
  ann.page = second;
  await write(bob.page, "still there?");
  await bubble(second, "still there?").waitFor();
  await write(second, "yes, still");
  await mark(second, "yes, still", "read");
});

test("a device that is revoked is out at once", async () => {
  await menu(ann.page, "Your devices");
  const dialog = ann.page.getByRole("dialog", { name: "Your devices" });
  await dialog.getByText("This device").waitFor();
  await dialog.getByRole("button", { name: /^Log out/ }).click();
  await ann.page.getByRole("dialog", { name: "Log this device out?" }).getByRole("button", { name: "Log out" }).click();
  await phone.page.getByRole("heading", { name: "This device was logged out" }).waitFor();
  await dialog.getByText("You are logged in nowhere else.").waitFor();
  await dialog.getByRole("button", { name: "Close", exact: true }).click();
  await phone.page.getByRole("button", { name: "Log in again" }).click();
  await phone.page.getByLabel("Name", { exact: true }).fill("ann");
  await phone.page.getByRole("button", { name: "Log in", exact: true }).click();
  await online(phone.page); // as another device: the one that was is shut out for good
  await row(phone.page, "bob").waitFor();
});

test("a token that ends asks for another, and the outbox is kept", async () => {
  const cem = await Device.open(browser, server);
  await cem.page.getByRole("button", { name: "Log in with a token" }).click();
  await cem.page.getByLabel("Token").fill(server.token("cem", "6s"));
  await cem.page.getByRole("button", { name: "Log in", exact: true }).click();
  await online(cem.page);
  await begin(cem.page, "bob");
  await write(cem.page, "while it holds");
  await mark(cem.page, "while it holds", "delivered");
  await cem.page.getByRole("heading", { name: "Please log in again" }).waitFor();
  await cem.page.getByLabel("New token for cem").fill(server.token("bob"));
  await cem.page.getByRole("button", { name: "Log in", exact: true }).click();
  await cem.page.getByText("That token is bob’s, not cem’s.").waitFor();
  await cem.page.getByLabel("New token for cem").fill(server.token("cem"));
  await cem.page.getByRole("button", { name: "Log in", exact: true }).click();
  await bubble(cem.page, "while it holds").waitFor();
  await write(cem.page, "and after");
  await mark(cem.page, "and after", "delivered");
  await cem.close();
});

test("nothing was complained about", () => {
  assert.deepEqual([...ann.errors, ...bob.errors], []);
});
