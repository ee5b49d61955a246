import { useCallback, useEffect, useState } from "preact/hooks";
import { Client, type Failure } from "@parleychat/client";
import { Live, LiveContext } from "./live.ts";
import { LoginScreen } from "./LoginScreen.tsx";
import { Messenger } from "./Messenger.tsx";
import { StoppedScreen } from "./StoppedScreen.tsx";
import { deviceName, platform } from "./device.ts";
import { forget, remember, remembered, tokenOf, type Login } from "./login.ts";

/** App is the login, the messenger, or why it stopped. */
export function App() {
  const [login, setLogin] = useState(remembered);
  const [live, setLive] = useState<Live | null>(null);
  const [stopped, setStopped] = useState<Failure | null>(null);

  useEffect(() => {
    if (!login) return;
    let over = false;
    let current: Live | null = null;
    const opened = Client.open({ token: () => tokenOf(login), device: { name: deviceName(), platform: platform() } });
    opened.then((client) => {
      if (over) return void client.close();
      current = new Live(client);
      client.on("stopped", (e) => { if (e.error.code !== "closed") setStopped(e.error); });
      setLive(current);
    }).catch((e: Failure) => { if (!over) setStopped(e); });
    return () => {
      over = true;
      setLive(null);
      if (!current) return;
      current.close();
      void current.client.close();
    };
  }, [login]);

  const enter = useCallback((l: Login) => {
    remember(l);
    setStopped(null);
    setLogin(l);
  }, []);

  const leave = useCallback(async (erase: boolean) => {
    if (erase) {
      live?.forget();
      await live?.client.erase().catch(() => undefined);
    }
    if (login) forget(login);
    history.replaceState(null, "", location.pathname);
    setStopped(null);
    setLogin(null);
  }, [live, login]);

  if (!login) return <LoginScreen enter={enter} />;
  if (stopped) return <StoppedScreen why={stopped} login={login} enter={enter} leave={leave} />;
  if (!live) return null;
  return (
    <LiveContext.Provider value={live}>
      <Messenger login={login} leave={() => leave(true)} />
    </LiveContext.Provider>
  );
}
