//! The commands of a block, each with what it prints.

use super::Block;

/// A command, as a reader copies it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Documented {
    /// Its line in the page, from 1.
    pub line: usize,
    /// What is typed, all lines of it.
    pub command: String,
    /// What it prints; empty where the page does not show it.
    pub output: String,
}

/// The commands of a block: lines behind `$`, with the lines that a `\` at the end continues.
#[must_use]
pub fn of(block: &Block) -> Vec<Documented> {
    let mut found: Vec<Documented> = Vec::new();
    let mut is_continued = false;
    for (at, line) in block.text.lines().enumerate() {
        match (line.strip_prefix("$ "), found.last_mut()) {
            (_, Some(last)) if is_continued => {
                last.command.push('\n');
                last.command.push_str(line);
                is_continued = line.ends_with('\\');
            }
            (Some(command), _) => {
                let line = block.line + 1 + at;
                found.push(Documented { line, command: command.to_owned(), output: String::new() });
                is_continued = command.ends_with('\\');
            }
            (None, Some(last)) => {
                last.output.push_str(line);
                last.output.push('\n');
            }
            (None, None) => {}
        }
    }
    found
}

impl Documented {
    /// Whether it changes nothing, so that it can be run again until it prints what it should.
    #[must_use]
    pub fn only_looks(&self) -> bool {
        let mut words = self.command.split_whitespace();
        let looks = match words.next() {
            Some("kubectl") => matches!(words.next(), Some("get" | "wait" | "rollout")),
            Some("acr-credential-sidecar") => match words.next() {
                Some("status" | "explain" | "check" | "mint") => true,
                Some("run") => self.command.contains("--dry-run"),
                _ => false,
            },
            _ => false,
        };
        looks && !self.command.contains("rollout restart")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_have_all_of_their_lines_and_their_output() {
        let text =
            "$ kubectl get pods \\\n    --all-namespaces\nNAME\nweb\n$ acr-credential-sidecar cleanup\n";
        let block = Block { line: 10, info: "console".to_owned(), text: text.to_owned() };
        let [first, second] = &of(&block)[..] else { panic!("{:?}", of(&block)) };
        assert_eq!(first.command, "kubectl get pods \\\n    --all-namespaces");
        assert_eq!((first.line, first.output.as_str()), (11, "NAME\nweb\n"));
        assert_eq!((second.line, second.output.as_str()), (15, ""));
        assert!(first.only_looks() && !second.only_looks());
    }
}
