import { render } from "preact";
import "uplot/dist/uPlot.min.css";
import "./style/base.css";
import "./style/chat.css";
import "./style/live.css";
import { App } from "./app.jsx";
import { startPolling } from "./live/poll.js";
import { applyTheme } from "./theme.js";

applyTheme();
startPolling();
render(<App />, document.getElementById("app"));
