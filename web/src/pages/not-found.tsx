import { Link } from "@tanstack/react-router";
import { buttonClass } from "../ui/button";

export function NotFound() {
  return (
    <main className="grid min-h-dvh flex-1 place-content-center gap-4 p-6 text-center">
      <title>Not found · doce</title>
      <p className="font-mono text-sm text-faint">404</p>
      <h1 className="text-xl font-semibold">There is nothing at this address</h1>
      <p className="max-w-sm text-base text-muted">It may have been deleted, or the address has a typo in it.</p>
      <div>
        <Link to="/" className={buttonClass("primary", "md")}>
          Go to your projects
        </Link>
      </div>
    </main>
  );
}
