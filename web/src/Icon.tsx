const paths = {
  back: "M15 5l-7 7 7 7",
  close: "M6 6l12 12M18 6L6 18",
  search: "M10.5 17a6.5 6.5 0 1 0 0-13 6.5 6.5 0 0 0 0 13zM15.5 15.5L20 20",
  pencil: "M12 20h8M4 20l1-4L16.5 4.5a2 2 0 0 1 3 3L8 19z",
  dots: "M12 6v.01M12 12v.01M12 18v.01",
  send: "M12 19V5M6 11l6-6 6 6",
  down: "M6 9l6 6 6-6",
  bell: "M6 16V11a6 6 0 0 1 12 0v5l1.5 2h-15zM10 21h4",
  muted: "M4 4l16 16M8.5 6.1A6 6 0 0 1 18 11v3.5M6.2 9.5A6 6 0 0 0 6 11v5l-1.5 2H17M10 21h4",
  people: "M9 11a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7zM2.5 20c0-3.5 2.9-5.5 6.5-5.5s6.5 2 6.5 5.5M16 4.3a3.5 3.5 0 0 1 0 6.4M18 14.9c2.1.700 3.5 2.5 3.5 5.1",
  person: "M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM4.5 20.5c0-3.8 3.4-6 7.5-6s7.5 2.2 7.5 6",
  add: "M10 11a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7zM3.5 20c0-3.5 2.9-5.5 6.5-5.5 1.8 0 3.4.500 4.6 1.4M18 14v6M15 17h6",
  leave: "M14 4H6a1 1 0 0 0-1 1v14a1 1 0 0 0 1 1h8M10 12h10M17 9l3 3-3 3",
  devices: "M4 5h13v9H4zM2 18h11M15.5 11H21v9h-5.5z",
  theme: "M12 4a8 8 0 1 0 0 16zM12 4a8 8 0 0 1 0 16",
  envelope: "M4 6h16v12H4zM4 7l8 6 8-6",
  trash: "M5 7h14M9 7V4.5h6V7M7 7l1 13h8l1-13",
  retry: "M19 12a7 7 0 1 1-2.2-5.1M19 4v4h-4",
  chat: "M5 5h14a2 2 0 0 1 2 2v8a2 2 0 0 1-2 2h-7l-4.5 3.5V17H5a2 2 0 0 1-2-2V7a2 2 0 0 1 2-2z",
  alert: "M12 8v5M12 16.5v.01M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18z",
  check: "M5 12.5l4.5 4.5L19 7.5",
  key: "M14.5 13a4.5 4.5 0 1 0-4-2.4L3.5 17.5V20.5H7v-2.5h2.5v-2.5l1.8-1.7a4.5 4.5 0 0 0 3.2-.8zM15.5 8.5v.01",
};

export type IconName = keyof typeof paths;

export function Icon({ name }: { name: IconName }) {
  return <svg class="icon" viewBox="0 0 24 24" aria-hidden="true"><path d={paths[name]} stroke-width={name === "dots" ? 3 : undefined} /></svg>;
}
