import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App, createApp } from "./app";
import "./styles.css";

const root = document.getElementById("root");
if (root === null) throw new Error("index.html has no #root");
const app = createApp();
createRoot(root).render(
  <StrictMode>
    <App cache={app.cache} router={app.router} />
  </StrictMode>,
);
