import "./styles/tokens.css";
import "./styles/base.css";
import "./styles/login.css";
import "./styles/layout.css";
import "./styles/list.css";
import "./styles/chat.css";
import "./styles/panels.css";

import { render } from "preact";
import { App } from "./App.tsx";
import { followTheme } from "./theme.ts";

followTheme();
render(<App />, document.getElementById("app")!);
