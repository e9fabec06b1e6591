// What every page of somebody who is signed in has around it.
import { Outlet } from "@tanstack/react-router";
import { useEffect } from "react";
import { Banners } from "../components/banners";
import { Dialogs, isDialogOpen, openDialog } from "../components/dialogs";
import { withMod } from "../ui/kbd";
import { Toasts } from "../ui/toast";
import { TooltipProvider } from "../ui/tooltip";

export default function SignedIn() {
  useEffect(() => {
    const onKeyDown = (event: KeyboardEvent) => {
      if (withMod(event) && event.key.toLowerCase() === "k" && !event.shiftKey) {
        event.preventDefault();
        if (!isDialogOpen()) openDialog({ kind: "command-menu" });
      } else if (event.key === "/" && !isTyping(event.target)) {
        const search = document.querySelector<HTMLInputElement>("input[data-page-search]");
        if (search === null) return;
        event.preventDefault();
        search.focus();
      }
    };
    window.addEventListener("keydown", onKeyDown);
    return () => window.removeEventListener("keydown", onKeyDown);
  }, []);
  return (
    <TooltipProvider>
      <div className="flex h-dvh flex-col">
        <Banners />
        <Outlet />
      </div>
      <Dialogs />
      <Toasts />
    </TooltipProvider>
  );
}

function isTyping(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && (target.isContentEditable || /^(?:input|textarea|select)$/i.test(target.tagName));
}
