// What the page keeps in the browser's storage besides what the client keeps: who
// is logged in, the theme, texts begun. Storage may be forbidden or full; then the
// page goes on without.

function guarded<T>(act: () => T, otherwise: T): T {
  try {
    return act();
  } catch {
    return otherwise;
  }
}

export const kept = {
  get: (key: string): string | null => guarded(() => localStorage.getItem(`parley.${key}`), null),
  set: (key: string, value: string): void => guarded(() => localStorage.setItem(`parley.${key}`, value), undefined),
  remove: (key: string): void => guarded(() => localStorage.removeItem(`parley.${key}`), undefined),
  keys: (): string[] => guarded(() => Object.keys(localStorage).filter((k) => k.startsWith("parley.")).map((k) => k.slice(7)), []),
};

/** Of this tab alone; survives a reload. */
export const tabKept = {
  get: (key: string): string | null => guarded(() => sessionStorage.getItem(`parley.${key}`), null),
  set: (key: string, value: string): void => guarded(() => sessionStorage.setItem(`parley.${key}`, value), undefined),
  remove: (key: string): void => guarded(() => sessionStorage.removeItem(`parley.${key}`), undefined),
};
