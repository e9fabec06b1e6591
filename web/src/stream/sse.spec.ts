import { expect, it } from "vitest";
import { createFrameParser, type Frame } from "./sse";

function parse(...chunks: string[]): Frame[] {
  const frames: Frame[] = [];
  const feed = createFrameParser((frame) => frames.push(frame));
  for (const chunk of chunks) feed(chunk);
  return frames;
}

it("a_frame_has_its_id_its_event_and_its_data", () => {
  expect(parse('id: b-1\nevent: job\ndata: {"a":1}\n\n')).toEqual([{ id: "b-1", event: "job", data: '{"a":1}' }]);
});

it("a_frame_may_arrive_in_pieces", () => {
  expect(parse("id: b", "-1\nev", "ent: job\ndata: x", "\n", "\n")).toEqual([{ id: "b-1", event: "job", data: "x" }]);
});

it("a_carriage_return_and_its_line_feed_may_arrive_apart", () => {
  expect(parse("event: job\r", "\ndata: x\r\n\r", "\n")).toEqual([{ id: "", event: "job", data: "x" }]);
});

it("comments_and_frames_without_data_are_nothing", () => {
  expect(parse(": beat\n\nevent: job\n\n")).toEqual([]);
});

it("lines_of_data_are_joined", () => {
  expect(parse("data: a\ndata: b\n\n")[0]?.data).toBe("a\nb");
});

it("an_id_belongs_to_its_frame_only", () => {
  expect(parse("id: b-1\ndata: a\n\ndata: b\n\n").map((frame) => frame.id)).toEqual(["b-1", ""]);
});
