import { act, screen } from "@testing-library/react";
import { expect, it } from "vitest";
import { show } from "../../test/page";
import { ApiError } from "../api/client";
import { tell } from "./project-actions";

it("what_failed_says_its_reference_where_it_is_told_and_it_can_be_copied", async () => {
  show(<main />);
  act(() => tell(new ApiError(500, { detail: "Something failed inside the server.", request_id: "req_4f" })));
  expect(await screen.findByText("Something failed inside the server.")).toBeTruthy();
  expect(screen.getByText("req_4f")).toBeTruthy();
  expect(screen.getByRole("button", { name: "Copy the reference" })).toBeTruthy();
});

it("a_form_that_the_server_failed_for_has_the_reference_in_its_words_and_a_refusal_has_not", () => {
  const problem = { detail: "Something failed inside the server.", request_id: "req_4f" };
  expect(new ApiError(500, problem).message).toBe("Something failed inside the server. Reference req_4f.");
  expect(new ApiError(422, problem).message).toBe("Something failed inside the server.");
  expect(ApiError.unreachable().message).not.toContain("Reference");
});
