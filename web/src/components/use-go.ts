import { useNavigate } from "@tanstack/react-router";

export type Place = "/" | "/settings/providers" | "/settings/models" | "/settings/account" | "/settings/jobs" | "/settings/audit" | "/settings/keys" | "/settings/import" | "/settings/people" | "/settings/system";

/** Goes to one of the client's own pages. */
export function useGo(): (to: Place) => void {
  const navigate = useNavigate();
  return (to) => void navigate({ to });
}
