import { api, asApiError, done, reportSignedOut } from "../api/client";
import { toast } from "../ui/toast";

export async function signOut(): Promise<void> {
  try {
    await done(api.POST("/api/sign-out"));
  } catch (error) {
    const problem = asApiError(error);
    if (problem.status !== 401) {
      toast(problem.message, "bad");
      return;
    }
  }
  reportSignedOut();
}
