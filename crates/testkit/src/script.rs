//! What a model does in one turn, and how a prompt's directives become turns.
//!
//! One turn is one request to the model: some words, perhaps a tool call at the end, or a failure. A prompt with two tool calls has three turns:
//! each tool call ends its turn, and the next begins when the tool's result arrives. Which turn is due is read from the conversation (how many
//! results there are), so nothing has to be remembered between requests.

use std::time::Duration;

use serde_json::{Value, json};

use crate::directives::{Directive, Refusal};

/// The longest piece of text sent as one token; only `[[huge: n]]` reaches it.
const BULK_TOKEN: usize = 16 * 1024;
/// How much of a tool's arguments is sent at once.
const ARGUMENT_TOKEN: usize = 24;

/// What is said when a prompt asks for nothing in particular.
pub const GREETING: &str = "Hello! I am ready to build. Tell me what you would like to see first.";
/// What is said after the last tool call when the script has no words for it.
pub const CLOSING: &str = "Done. The changes are in place.";

/// A piece of an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Block {
    /// Words for the user.
    Text(String),
    /// Words of reasoning.
    Reasoning(String),
    /// A tool call. It ends the turn.
    ToolCall {
        /// The tool's name.
        name: String,
        /// Its input, an object.
        input: Value,
        /// A permission the fake Agent asks for before it runs the tool, whatever its configuration says. The model can't tell.
        ask: Option<String>,
    },
}

impl Block {
    /// Splits the block into the pieces that are streamed one by one. Joined, they are the whole.
    pub fn tokens(&self) -> Vec<String> {
        match self {
            Self::Text(text) | Self::Reasoning(text) => {
                text.split_inclusive(char::is_whitespace).flat_map(|word| chunks(word, BULK_TOKEN)).collect()
            }
            Self::ToolCall { input, .. } => chunks(&input.to_string(), ARGUMENT_TOKEN),
        }
    }
}

/// How the answer to a turn begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opening {
    /// 200 and a stream.
    Stream,
    /// An HTTP error instead of an answer.
    Refuse(Refusal),
    /// No status line, ever: the connection stays open.
    Hang,
    /// 200 and a stream that holds nothing, not even a finish reason.
    Empty,
}

/// How the stream of a turn ends. The failures come before the finish reason, at the latest after the last token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// As the protocol has it.
    Complete,
    /// Silence after this many tokens.
    HangAfter(usize),
    /// A broken connection after this many tokens.
    CutAfter(usize),
    /// The protocol's error event after this many tokens.
    ErrorAfter(usize),
}

/// One turn of a model.
///
/// ```
/// use doce_testkit::script::Script;
/// let turn = Script::say("I will write the file.").write("src/App.tsx", "export default () => null;\n");
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Script {
    pub(crate) opening: Opening,
    pub(crate) blocks: Vec<Block>,
    pub(crate) delay: Duration,
    pub(crate) ending: Ending,
}

impl Default for Script {
    fn default() -> Self {
        Self { opening: Opening::Stream, blocks: Vec::new(), delay: Duration::ZERO, ending: Ending::Complete }
    }
}

impl Script {
    /// An answer of these words.
    pub fn say(words: impl Into<String>) -> Self {
        Self::default().then(Block::Text(words.into()))
    }

    /// A refusal with this HTTP status.
    pub fn status(status: u16) -> Self {
        Self::refuse(Refusal::new(status))
    }

    /// A refusal in detail.
    pub fn refuse(refusal: Refusal) -> Self {
        Self { opening: Opening::Refuse(refusal), ..Self::default() }
    }

    /// No answer at all, the connection held open.
    pub fn hang() -> Self {
        Self { opening: Opening::Hang, ..Self::default() }
    }

    /// A stream with nothing in it.
    pub fn empty() -> Self {
        Self { opening: Opening::Empty, ..Self::default() }
    }

    /// Adds a block.
    #[must_use]
    pub fn then(mut self, block: Block) -> Self {
        self.blocks.push(block);
        self
    }

    /// Adds a call of any tool.
    #[must_use]
    pub fn tool(self, name: impl Into<String>, input: Value) -> Self {
        self.then(Block::ToolCall { name: name.into(), input, ask: None })
    }

    /// Adds a call of the `write` tool.
    #[must_use]
    pub fn write(self, path: &str, content: &str) -> Self {
        self.tool("write", json!({ "filePath": path, "content": content }))
    }

    /// Waits this long before each token.
    #[must_use]
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Chooses how the stream ends.
    #[must_use]
    pub fn ending(mut self, ending: Ending) -> Self {
        self.ending = ending;
        self
    }

    /// Says the same with the tools on offer: OpenCode 1.18.33 gives GPT models `apply_patch` in the place of `write` (observed).
    pub(crate) fn for_tools(mut self, tools: &[String]) -> Self {
        let offered = |name: &str| tools.iter().any(|tool| tool == name);
        if offered("write") || !offered("apply_patch") {
            return self;
        }
        for block in &mut self.blocks {
            if let Block::ToolCall { name, input, .. } = block
                && name == "write"
                && let (Some(path), Some(content)) = (input["filePath"].as_str(), input["content"].as_str())
            {
                let lines: Vec<String> = content.split_inclusive('\n').map(|line| format!("+{line}")).collect();
                let lines = lines.concat();
                let end = if lines.ends_with('\n') { "" } else { "\n" };
                let patch = format!("*** Begin Patch\n*** Add File: {path}\n{lines}{end}*** End Patch");
                *block =
                    Block::ToolCall { name: "apply_patch".to_owned(), input: json!({ "patchText": patch }), ask: None };
            }
        }
        self
    }

    fn calls_tool(&self) -> bool {
        matches!(self.blocks.last(), Some(Block::ToolCall { .. }))
    }

    fn set_ending(&mut self, ending: Ending) {
        // The first failure that is named is the one that happens.
        if self.ending == Ending::Complete {
            self.ending = ending;
        }
    }
}

/// Turns directives into turns, the last of which always ends the conversation.
pub fn turns(directives: &[Directive]) -> Vec<Script> {
    let mut done = Vec::new();
    let mut turn = Script::default();
    let mut delay = Duration::ZERO;
    for directive in directives {
        if turn.calls_tool() {
            done.push(std::mem::replace(&mut turn, Script::default().delay(delay)));
        }
        match directive {
            Directive::Say(words) => say(&mut turn, words),
            Directive::Think(words) => turn.blocks.push(Block::Reasoning(words.clone())),
            Directive::Write { path, content } => {
                call(&mut turn, "write", json!({ "filePath": path, "content": content }));
            }
            Directive::Bash(command) => {
                call(&mut turn, "bash", json!({ "command": command, "description": "Runs a scripted command" }));
            }
            Directive::Read(path) => call(&mut turn, "read", json!({ "filePath": path })),
            Directive::Ask { permission, pattern } => turn.blocks.push(Block::ToolCall {
                name: "read".to_owned(),
                input: json!({ "filePath": pattern }),
                ask: Some(permission.clone()),
            }),
            Directive::Tool { name, input } => call(&mut turn, name, input.clone()),
            Directive::Delay(each) => {
                delay = *each;
                turn.delay = delay;
            }
            Directive::Huge(bytes) => say(&mut turn, &filler(*bytes)),
            Directive::HangAfter(tokens) => turn.set_ending(Ending::HangAfter(*tokens)),
            Directive::CutAfter(tokens) => turn.set_ending(Ending::CutAfter(*tokens)),
            Directive::ErrorAfter(tokens) => turn.set_ending(Ending::ErrorAfter(*tokens)),
            Directive::Empty => turn.opening = Opening::Empty,
            // Words already said can't be unsaid: the failure then comes inside the stream.
            Directive::Hang if turn.blocks.is_empty() => turn.opening = Opening::Hang,
            Directive::Hang => turn.set_ending(Ending::HangAfter(usize::MAX)),
            Directive::Status(refusal) if turn.blocks.is_empty() => {
                turn.opening = Opening::Refuse(refusal.clone());
            }
            Directive::Status(_) => turn.set_ending(Ending::ErrorAfter(usize::MAX)),
        }
    }
    if turn.calls_tool() {
        done.push(std::mem::replace(&mut turn, Script::default().delay(delay)));
    }
    if !turn.blocks.iter().any(|block| matches!(block, Block::Text(_))) {
        let words = if done.is_empty() { GREETING } else { CLOSING };
        turn.blocks.push(Block::Text(words.to_owned()));
    }
    done.push(turn);
    done
}

fn call(turn: &mut Script, name: &str, input: Value) {
    turn.blocks.push(Block::ToolCall { name: name.to_owned(), input, ask: None });
}

/// Two `say` in a row are one text, on lines of their own.
fn say(turn: &mut Script, words: &str) {
    if let Some(Block::Text(text)) = turn.blocks.last_mut() {
        text.push('\n');
        text.push_str(words);
    } else {
        turn.blocks.push(Block::Text(words.to_owned()));
    }
}

/// Exactly this many bytes without whitespace, so that they travel in the largest tokens.
fn filler(bytes: usize) -> String {
    "0123456789abcdef".chars().cycle().take(bytes).collect()
}

fn chunks(text: &str, size: usize) -> Vec<String> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while rest.len() > size {
        let cut = rest.floor_char_boundary(size);
        pieces.push(rest[..cut].to_owned());
        rest = &rest[cut..];
    }
    if !rest.is_empty() {
        pieces.push(rest.to_owned());
    }
    pieces
}
