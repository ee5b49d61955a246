// How this device is named in the list of the user's devices.

const agent = navigator.userAgent;

export function deviceName(): string {
  if (/Edg\//.test(agent)) return "Edge";
  if (/OPR\//.test(agent)) return "Opera";
  if (/Firefox\//.test(agent)) return "Firefox";
  if (/Chrome\/|CriOS\//.test(agent)) return "Chrome";
  if (/Safari\//.test(agent)) return "Safari";
  return "Browser";
}

export function platform(): string {
  if (/Android/.test(agent)) return "Android";
  if (/iPhone|iPod/.test(agent)) return "iPhone";
  if (/iPad/.test(agent)) return "iPad";
  if (/Mac OS X/.test(agent)) return "macOS";
  if (/Windows/.test(agent)) return "Windows";
  if (/CrOS/.test(agent)) return "ChromeOS";
  if (/Linux/.test(agent)) return "Linux";
  return "";
}

/** touch says that there is no keyboard of keys: Enter makes a new line there. */
export const touch = (): boolean => matchMedia("(hover: none) and (pointer: coarse)").matches;

/** still says that the user wants no motion. */
export const still = (): boolean => matchMedia("(prefers-reduced-motion: reduce)").matches;

/** covered says that the details, when they are open, lie on top of the conversation. */
export const covered = (): boolean => matchMedia("(max-width: 1099px)").matches;

/** phone says that there is room for one pane. */
export const phone = (): boolean => matchMedia("(max-width: 759px)").matches;
