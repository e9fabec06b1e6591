import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App, createApp } from "./app";
import { followSystem } from "./components/theme";
import "./styles.css";

const root = document.getElementById("root");
if (root === null) throw new Error("index.html has no #root");
const app = createApp();
followSystem();
createRoot(root).render(
  <StrictMode>
    <App cache={app.cache} router={app.router} />
  </StrictMode>,
);
