//! Characters that look like ASCII, but are not. Input methods and word processors write them instead of a comma, a colon,
//! a quote or a blank, and the difference is hard to see.

use std::borrow::Cow;
use std::fmt;

/// A character that is not what it looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LookAlike {
    character: char,
    name: &'static str,
    /// The character to write instead; `None` for an invisible character, which must be removed.
    twin: Option<char>,
}

impl LookAlike {
    fn new(character: char) -> Option<Self> {
        // Blocks and names: https://www.unicode.org/charts/
        let (name, twin) = match character {
            '\u{a0}' | '\u{2007}' | '\u{202f}' => ("a no-break space", Some(' ')),
            '\u{3000}' => ("an ideographic space", Some(' ')),
            '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{2028}' | '\u{2029}' | '\u{205f}' => {
                ("a typographic space", Some(' '))
            }
            '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' => {
                ("an invisible character", None)
            }
            '\u{feff}' => ("a byte order mark", None),
            '，' => ("a full-width comma", Some(',')),
            '：' => ("a full-width colon", Some(':')),
            // The other full-width forms of ASCII, in the order of ASCII.
            '！'..='～' => {
                let twin = u32::from(character).checked_sub(u32::from('！') - u32::from('!'));
                let twin = twin.and_then(char::from_u32);
                let name = match twin {
                    Some('a'..='z' | 'A'..='Z') => "a full-width letter",
                    Some('0'..='9') => "a full-width digit",
                    _ => "a full-width character",
                };
                (name, twin)
            }
            '、' | '､' | '﹐' | '﹑' | '،' => ("an ideographic comma", Some(',')),
            '。' | '｡' | '﹒' | '․' => ("an ideographic full stop", Some('.')),
            '∶' | '꞉' | '﹕' | '︰' | 'ː' => ("a typographic colon", Some(':')),
            '﹔' => ("a small semicolon", Some(';')),
            '“' | '”' | '„' | '‟' | '«' | '»' | '〝' | '〞' | '〟' | '″' | '「' | '」' | '『' | '』' => {
                ("a typographic quote", Some('"'))
            }
            '‘' | '’' | '‚' | '‛' | '′' | '´' => ("a typographic quote", Some('\'')),
            '\u{2010}'..='\u{2015}' | '−' | '﹣' | '﹘' | '⁃' => ("a typographic dash", Some('-')),
            '•' | '·' | '・' => ("a bullet", Some('-')),
            '【' | '〔' => ("a typographic bracket", Some('[')),
            '】' | '〕' => ("a typographic bracket", Some(']')),
            '∗' | '⁎' => ("a typographic asterisk", Some('*')),
            '⁄' | '∕' => ("a typographic slash", Some('/')),
            _ => return None,
        };
        Some(Self { character, name, twin })
    }

    /// Returns whether both characters are reported as one. Letters and digits occur in large numbers, so they are reported
    /// once.
    fn is_like(self, other: Self) -> bool {
        let is_word = |look_alike: Self| look_alike.twin.is_some_and(|twin| twin.is_ascii_alphanumeric());
        self == other || (is_word(self) && self.name == other.name)
    }

    fn is_quote(self) -> bool {
        matches!(self.twin, Some('"' | '\''))
    }

    /// Returns what to write instead.
    pub(super) fn fix(self) -> String {
        match self.twin {
            Some(' ') => "write an ordinary space instead".to_owned(),
            Some(twin) if twin.is_ascii_alphanumeric() => {
                format!("write {twin} instead, and the same for all others like it")
            }
            Some(twin) => format!("write {twin} instead"),
            None => "remove it".to_owned(),
        }
    }
}

impl fmt::Display for LookAlike {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { character, name, twin } = self;
        let code = u32::from(*character);
        match twin {
            Some(' ') | None => write!(f, "{name} (U+{code:04X})"),
            Some(_) => write!(f, "{character} (U+{code:04X}, {name})"),
        }
    }
}

/// Returns a value with its look-alike characters replaced, and these characters, each once.
pub(super) fn plain(text: &str) -> (Cow<'_, str>, Vec<LookAlike>) {
    if text.is_ascii() {
        return (Cow::Borrowed(text), Vec::new());
    }
    let mut found: Vec<LookAlike> = Vec::new();
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        let Some(look_alike) = LookAlike::new(c) else {
            plain.push(c);
            continue;
        };
        plain.extend(look_alike.twin);
        if !found.iter().any(|known| known.is_like(look_alike)) {
            found.push(look_alike);
        }
    }
    // For YAML, such quotes are part of the value.
    if found.iter().any(|look_alike| look_alike.is_quote())
        && let Some(within) = without_quotes(&plain)
    {
        plain = within.to_owned();
    }
    (Cow::Owned(plain), found)
}

fn without_quotes(text: &str) -> Option<&str> {
    let text = text.trim();
    ['"', '\''].into_iter().find_map(|quote| text.strip_prefix(quote)?.strip_suffix(quote))
}

/// A look-alike character in a document, and the lines that contain it.
pub(super) struct InLines {
    pub(super) look_alike: LookAlike,
    /// The first line, counted from 1.
    pub(super) line: usize,
    pub(super) more_lines: usize,
    last_line: usize,
}

/// How values in quotes are treated.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Quoted {
    /// They are kept: they are checked with their own places after the document is read.
    Kept,
    /// They are treated like all other text.
    Replaced,
}

/// Returns a document with its look-alike characters replaced, and these characters. Comments are not changed.
pub(super) fn plain_document(text: &str, quoted: Quoted) -> Option<(String, Vec<InLines>)> {
    if text.is_ascii() {
        return None;
    }
    let mut found: Vec<InLines> = Vec::new();
    let mut plain = String::with_capacity(text.len());
    for (at, line) in text.split_inclusive('\n').enumerate() {
        let number = at + 1;
        let (mut is_quoted, mut is_comment, mut has_key, mut last) = (false, false, false, ' ');
        let mut characters = line.chars().peekable();
        while let Some(c) = characters.next() {
            let look_alike = LookAlike::new(c).filter(|_| !is_comment && !is_quoted);
            if let Some(look_alike) = look_alike {
                match found.iter_mut().find(|known| known.look_alike.is_like(look_alike)) {
                    Some(known) => {
                        known.more_lines += usize::from(known.last_line != number);
                        known.last_line = number;
                    }
                    None => {
                        found.push(InLines { look_alike, line: number, more_lines: 0, last_line: number });
                    }
                }
            }
            let c = look_alike.map_or(Some(c), |look_alike| look_alike.twin);
            is_comment |= c == Some('#') && !is_quoted && last.is_whitespace();
            is_quoted ^= quoted == Quoted::Kept && c == Some('"') && last != '\\' && look_alike.is_none();
            plain.extend(c);
            // A full-width colon needs no blank after it, but the colon after a key does.
            let next = characters.peek().copied().unwrap_or('\n');
            if c == Some(':') && !has_key && (look_alike.is_some() || next.is_whitespace()) {
                has_key = true;
                plain.push_str(if next.is_whitespace() { "" } else { " " });
            }
            last = c.unwrap_or(last);
        }
    }
    (!found.is_empty()).then_some((plain, found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str, names: &[&str]) {
        let (plain, found) = plain(text);
        assert_eq!(plain, expected, "{text:?}");
        assert_eq!(found.iter().map(LookAlike::to_string).collect::<Vec<_>>(), names, "{text:?}");
    }

    #[test]
    fn what_looks_like_ascii_is_named_with_its_twin() {
        check("a,b", "a,b", &[]);
        check("公司", "公司", &[]);
        check("a，b，c", "a,b,c", &["， (U+FF0C, a full-width comma)"]);
        check(
            "a、b。c",
            "a,b.c",
            &["、 (U+3001, an ideographic comma)", "。 (U+3002, an ideographic full stop)"],
        );
        check(
            "ｃｒi－１２",
            "cri-12",
            &[
                "ｃ (U+FF43, a full-width letter)",
                "－ (U+FF0D, a full-width character)",
                "１ (U+FF11, a full-width digit)",
            ],
        );
        check("cn–hangzhou", "cn-hangzhou", &["– (U+2013, a typographic dash)"]);
        check("a\u{3000}b\u{a0}c", "a b c", &["an ideographic space (U+3000)", "a no-break space (U+00A0)"]);
        check("a\u{200b}b", "ab", &["an invisible character (U+200B)"]);
        check("“all”", "all", &["“ (U+201C, a typographic quote)", "” (U+201D, a typographic quote)"]);
        check("‘a’b", "'a'b", &["‘ (U+2018, a typographic quote)", "’ (U+2019, a typographic quote)"]);
        let fix = |c| LookAlike::new(c).map(LookAlike::fix);
        assert_eq!(fix('：').as_deref(), Some("write : instead"));
        assert_eq!(fix('\u{3000}').as_deref(), Some("write an ordinary space instead"));
        assert_eq!(fix('\u{200b}').as_deref(), Some("remove it"));
    }

    #[test]
    fn in_a_document_comments_stay_and_lines_are_counted() {
        let check = |text, quoted, expected: &str, lines: &[(usize, usize)]| {
            let (plain, found) = plain_document(text, quoted).unwrap_or((text.to_owned(), Vec::new()));
            assert_eq!(plain, expected, "{text:?}");
            assert_eq!(found.iter().map(|found| (found.line, found.more_lines)).collect::<Vec<_>>(), lines);
        };
        check("# 公司，杭州\na: b # 说明：\n", Quoted::Kept, "# 公司，杭州\na: b # 说明：\n", &[]);
        check("＃ 公司，\n", Quoted::Kept, "# 公司，\n", &[(1, 0)]);
        check("a：b\nc： d：e\nf: g\nh: i：j\n", Quoted::Kept, "a: b\nc: d:e\nf: g\nh: i:j\n", &[(1, 2)]);
        check("a：\"b，c\"\n", Quoted::Kept, "a: \"b，c\"\n", &[(1, 0)]);
        check("a: \"b，c”\n", Quoted::Kept, "a: \"b，c”\n", &[]);
        check("a: \"b，c”\n", Quoted::Replaced, "a: \"b,c\"\n", &[(1, 0), (1, 0)]);
    }
}
