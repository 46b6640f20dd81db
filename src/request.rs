//! The admission request, read by reference.
//!
//! The objects in it are kept as they are written, since a mutated object is the request's own bytes. A Pod is read in
//! the same pass; other objects only if the settings ask for a look at them.

use std::borrow::Cow;

use crate::json::{Kind, Malformed, Reader};
use crate::object::PodOrTemplate;

/// What a policy server hands to `validate`.
#[derive(Debug)]
pub(crate) struct Payload<'a> {
    pub(crate) request: Request<'a>,
    /// Raw: most kinds of objects are let through without a look at them.
    pub(crate) settings: &'a str,
}

/// The parts of an `AdmissionRequest` (admission.k8s.io/v1) that decide.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    pub(crate) kind: GroupKind<'a>,
    pub(crate) sub_resource: Cow<'a, str>,
    pub(crate) namespace: Cow<'a, str>,
    pub(crate) operation: Cow<'a, str>,
    pub(crate) object: Option<&'a str>,
    pub(crate) old_object: Option<&'a str>,
    /// The object of a Pod, read on the way: Pods are what the policy sees most, and their text is most of a request.
    /// `None` where the kind was not known yet.
    pub(crate) pod: Option<Result<PodOrTemplate<'a>, Malformed>>,
}

/// Group and kind; the version does not matter to any rule.
#[derive(Debug)]
pub(crate) struct GroupKind<'a> {
    pub(crate) group: Cow<'a, str>,
    pub(crate) kind: Cow<'a, str>,
}

impl<'a> Payload<'a> {
    /// Reads a payload.
    ///
    /// # Errors
    /// What is wrong with it, with the path.
    pub(crate) fn parse(json: &'a str) -> Result<Self, Malformed> {
        Reader::document(json, |reader| {
            let mut request = None;
            let mut settings = "null";
            reader.map(&["request", "settings"], &mut |reader, key| {
                match key {
                    "request" => request = Some(Request::read(reader)?),
                    _ => settings = reader.raw()?,
                }
                Ok(())
            })?;
            Ok(Self { request: request.ok_or_else(|| Malformed::lacks("request"))?, settings })
        })
    }
}

impl<'a> Request<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        const KEYS: [&str; 6] = ["kind", "subResource", "namespace", "operation", "object", "oldObject"];
        let (mut kind, mut operation) = (None, None);
        let (mut sub_resource, mut namespace) = (Cow::default(), Cow::default());
        let (mut object, mut old_object, mut pod) = (None, None, None);
        reader.map(&KEYS, &mut |reader, key| {
            match key {
                "kind" => kind = Some(GroupKind::read(reader)?),
                "subResource" => sub_resource = reader.text()?,
                "namespace" => namespace = reader.text()?,
                "operation" => operation = Some(reader.text()?),
                "object" if kind.as_ref().is_some_and(GroupKind::is_pod) && reader.kind()? == Kind::Map => {
                    let (text, read) = reader.passing(|reader| PodOrTemplate::read(reader, &["spec"]))?;
                    object = Some(text);
                    pod = Some(read);
                }
                "object" => object = reader.raw_or_null()?,
                _ => old_object = reader.raw_or_null()?,
            }
            Ok(())
        })?;
        Ok(Self {
            kind: kind.ok_or_else(|| Malformed::lacks("kind"))?,
            sub_resource,
            namespace,
            operation: operation.ok_or_else(|| Malformed::lacks("operation"))?,
            object,
            old_object,
            pod,
        })
    }
}

impl<'a> GroupKind<'a> {
    fn is_pod(&self) -> bool {
        self.group.is_empty() && self.kind == "Pod"
    }

    fn read(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let (mut group, mut kind) = (Cow::default(), None);
        reader.map(&["group", "kind"], &mut |reader, key| {
            match key {
                "group" => group = reader.text()?,
                _ => kind = Some(reader.text()?),
            }
            Ok(())
        })?;
        Ok(Self { group, kind: kind.ok_or_else(|| Malformed::lacks("kind"))? })
    }
}
