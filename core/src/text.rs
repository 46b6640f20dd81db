//! Text that is chosen by others and read by people.

/// Returns whether a character changes how the text around it is shown: a control character, a line or paragraph separator, or
/// a format character, such as one that changes the direction of writing. (Unicode 16: the categories Cc, Cf, Zl and Zp.)
#[must_use]
pub fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{890}'..='\u{891}' | '\u{8e2}'
            | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0001}' | '\u{e0020}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_unicode_does_not_print_is_invisible() {
        let hidden = ('\0'..='\u{1f}').chain('\u{7f}'..='\u{9f}').chain('\u{202a}'..='\u{202e}');
        for c in
            hidden.chain('\u{2066}'..='\u{2069}').chain(['\u{200b}', '\u{2028}', '\u{feff}', '\u{e0041}'])
        {
            assert!(is_invisible(c), "{c:?}");
        }
        for c in " ~aé中，“…✓✗\u{1f600}".chars() {
            assert!(!is_invisible(c), "{c:?}");
        }
        // The standard library has its own table of the characters that `Debug` escapes.
        for c in ('\0'..=char::MAX).filter(|c| is_invisible(*c)) {
            assert!(c.escape_debug().count() > 1, "{c:?}");
        }
    }
}
