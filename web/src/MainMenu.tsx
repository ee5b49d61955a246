import { useState } from "preact/hooks";
import type { Login } from "./login.ts";
import { Menu, MenuItem } from "./Menu.tsx";
import type { DialogName } from "./Messenger.tsx";
import { askForNotifications, notificationsOn, notificationsPossible } from "./notifications.ts";
import { setTheme, theme } from "./theme.ts";

/** MainMenu is what concerns the user and not one conversation. */
export function MainMenu({ show, login }: { show: (dialog: DialogName) => void; login: Login }) {
  const [, redraw] = useState(0);
  const look = theme();
  const next = look === "system" ? "dark" : look === "dark" ? "light" : "system";
  return (
    <Menu label="Menu">
      {(close) => (
        <>
          <MenuItem icon="people" act={() => { close(); show("group"); }}>New group</MenuItem>
          <hr />
          <MenuItem icon="person" act={() => { close(); show("profile"); }}>Your profile</MenuItem>
          <MenuItem icon="devices" act={() => { close(); show("devices"); }}>Your devices</MenuItem>
          <MenuItem icon="theme" act={() => { setTheme(next); redraw((n) => n + 1); }}>Theme: {look === "system" ? "as the system" : look}</MenuItem>
          {notificationsPossible() && (
            <MenuItem icon="bell" checked={notificationsOn()} act={() => askForNotifications(!notificationsOn()).then(() => redraw((n) => n + 1))}>Notifications</MenuItem>
          )}
          <hr />
          {"demo" in login && <MenuItem icon="person" act={() => { close(); open(`${location.pathname}#as-somebody-else`, "_blank", "noopener"); }}>Be somebody else in a new tab</MenuItem>}
          <MenuItem icon="leave" danger act={() => { close(); show("logout"); }}>Log out</MenuItem>
        </>
      )}
    </Menu>
  );
}
