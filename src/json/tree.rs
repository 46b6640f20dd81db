//! Whole values. Only settings are read into one; requests are too large for that.

use std::borrow::Cow;

use super::{Kind, Malformed, Reader};

/// Levels of maps and lists that a tree can have, so that reading one cannot overflow the stack: what `serde_json`
/// allows.
const DEEPEST: usize = 128;

/// Any value, borrowed from the input.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Tree<'a> {
    Null,
    Bool(bool),
    Number,
    Text(Cow<'a, str>),
    List(Vec<Tree<'a>>),
    Map(Vec<(Cow<'a, str>, Tree<'a>)>),
}

impl<'a> Tree<'a> {
    /// Reads a whole document.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn parse(json: &'a str) -> Result<Self, Malformed> {
        Reader::document(json, |reader| Self::read(reader, DEEPEST))
    }

    fn read(reader: &mut Reader<'a>, levels: usize) -> Result<Self, Malformed> {
        let Some(levels) = levels.checked_sub(1) else {
            return Err(reader.not_json());
        };
        Ok(match reader.kind()? {
            Kind::Null => reader.raw().map(|_| Self::Null)?,
            Kind::Bool => Self::Bool(reader.bool()?),
            Kind::Number => reader.raw().map(|_| Self::Number)?,
            Kind::Text => Self::Text(reader.text()?),
            Kind::List => {
                let mut list = Vec::new();
                reader.list(&mut |reader| {
                    list.push(Self::read(reader, levels)?);
                    Ok(())
                })?;
                Self::List(list)
            }
            Kind::Map => {
                let mut map = Vec::new();
                reader.entries(&mut |reader, key| {
                    map.push((key, Self::read(reader, levels)?));
                    Ok(())
                })?;
                Self::Map(map)
            }
        })
    }

    /// What the value is, for messages that must not quote it.
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Null => Kind::Null,
            Self::Bool(_) => Kind::Bool,
            Self::Number => Kind::Number,
            Self::Text(_) => Kind::Text,
            Self::List(_) => Kind::List,
            Self::Map(_) => Kind::Map,
        }
    }
}
