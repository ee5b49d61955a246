import { kept } from "./kept.ts";

const known = typeof Notification === "function";

export const notificationsPossible = (): boolean => known && Notification.permission !== "denied";

export const notificationsOn = (): boolean =>
  known && Notification.permission === "granted" && kept.get("notify") === "yes";

/** askForNotifications turns them on, or off. Browsers ask the user the first time. */
export async function askForNotifications(on: boolean): Promise<boolean> {
  if (on && known && (await Notification.requestPermission()) === "granted") kept.set("notify", "yes");
  else kept.remove("notify");
  return notificationsOn();
}

/** notify shows one; a newer one of the same conversation takes its place. */
export function notify(face: { name: string }, line: string, id: string): void {
  if (!notificationsOn()) return;
  try {
    const n = new Notification(face.name, { body: line.slice(0, 200), tag: id });
    n.onclick = () => {
      focus();
      location.hash = `#${id}`;
      n.close();
    };
  } catch { /* some phones only allow them to a service worker */ }
}
