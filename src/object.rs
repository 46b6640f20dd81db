//! Views of Kubernetes objects: the fields that decide, borrowed, and where they stand in the object's text.

use std::borrow::Cow;

use crate::json::{Kind, Malformed, Reader};
use crate::message::Subject;

/// The kubelet sets this annotation on the API server's copy of a static Pod, and Kubernetes refuses such a Pod when it
/// refers to any Secret.
const MIRROR: &str = "kubernetes.io/config.mirror";

/// A Pod, or a workload with the template of its Pods.
#[derive(Debug)]
pub(crate) struct PodOrTemplate<'a> {
    pub(crate) metadata: Metadata<'a>,
    pub(crate) spec: PodSpec<'a>,
}

/// A service account.
#[derive(Debug, Default)]
pub(crate) struct ServiceAccount<'a> {
    pub(crate) metadata: Metadata<'a>,
    /// As it is written, so that an explicit `null` is not mistaken for an absent field.
    pub(crate) image_pull_secrets: Option<&'a str>,
}

/// The metadata that decides.
#[derive(Debug, Default)]
pub(crate) struct Metadata<'a> {
    pub(crate) name: Cow<'a, str>,
    generate_name: Cow<'a, str>,
    pub(crate) is_mirror: bool,
    /// The owner that controls the object.
    pub(crate) controller: Option<Owner<'a>>,
    pub(crate) is_being_deleted: bool,
}

/// An owner reference.
#[derive(Debug, Default)]
pub(crate) struct Owner<'a> {
    kind: Cow<'a, str>,
    name: Cow<'a, str>,
    controller: bool,
}

/// The `spec` of a Pod or of a pod template.
///
/// Its lists stay as they are written: they mark places beside which another field can be written, and their entries
/// are not always asked for.
#[derive(Debug, Default)]
pub(crate) struct PodSpec<'a> {
    pub(crate) image_pull_secrets: Option<&'a str>,
    pub(crate) containers: Option<&'a str>,
    init_containers: Option<&'a str>,
    ephemeral_containers: Option<&'a str>,
    volumes: Option<&'a str>,
    service_account_name: Cow<'a, str>,
    service_account: Cow<'a, str>,
}

impl<'a> PodOrTemplate<'a> {
    /// Reads an object that has its pod spec below these keys.
    ///
    /// # Errors
    /// What is wrong with it, with the path.
    pub(crate) fn parse(object: &'a str, spec_keys: &[&'static str]) -> Result<Self, Malformed> {
        Reader::document(object, |reader| Self::read(reader, spec_keys))
    }

    /// The same, in a larger document.
    ///
    /// # Errors
    /// What is wrong with it, with the path below the object.
    pub(crate) fn read(reader: &mut Reader<'a>, spec_keys: &[&'static str]) -> Result<Self, Malformed> {
        let Some((&key, deeper)) = spec_keys.split_first() else {
            return Err(Malformed::lacks("spec"));
        };
        let (mut metadata, mut spec) = (Metadata::default(), None);
        reader.map(&["metadata", key], &mut |reader, key| {
            match key {
                "metadata" => metadata = Metadata::read(reader)?,
                _ => spec = Some(PodSpec::read_below(reader, deeper)?),
            }
            Ok(())
        })?;
        Ok(Self { metadata, spec: spec.ok_or_else(|| Malformed::lacks(key))? })
    }
}

impl<'a> ServiceAccount<'a> {
    /// Reads a service account.
    ///
    /// # Errors
    /// What is wrong with it, with the path.
    pub(crate) fn parse(object: &'a str) -> Result<Self, Malformed> {
        let mut account = Self::default();
        Reader::document(object, |reader| {
            reader.map(&["metadata", "imagePullSecrets"], &mut |reader, key| {
                match key {
                    "metadata" => account.metadata = Metadata::read(reader)?,
                    _ => account.image_pull_secrets = Some(reader.raw()?),
                }
                Ok(())
            })
        })?;
        Ok(account)
    }
}

impl<'a> Metadata<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        const KEYS: [&str; 5] =
            ["name", "generateName", "annotations", "ownerReferences", "deletionTimestamp"];
        let mut metadata = Self::default();
        reader.map(&KEYS, &mut |reader, key| {
            match key {
                "name" => metadata.name = reader.text()?,
                "generateName" => metadata.generate_name = reader.text()?,
                "annotations" => metadata.is_mirror = is_mirror(reader)?,
                "ownerReferences" => metadata.controller = controller(reader)?,
                _ => metadata.is_being_deleted = reader.raw_or_null()?.is_some(),
            }
            Ok(())
        })?;
        Ok(metadata)
    }

    /// The object, as messages name it.
    pub(crate) fn subject<'s>(&'s self, kind: &'s str, namespace: &'s str) -> Subject<'s> {
        Subject {
            kind,
            namespace,
            name: &self.name,
            generate_name: &self.generate_name,
            controller: self.controller.as_ref().map(|owner| (&*owner.kind, &*owner.name)),
        }
    }
}

fn is_mirror(annotations: &mut Reader<'_>) -> Result<bool, Malformed> {
    let mut is_mirror = false;
    if annotations.kind()? == Kind::Null {
        annotations.raw()?;
        return Ok(false);
    }
    annotations.entries(&mut |reader, key| {
        is_mirror |= key == MIRROR;
        reader.raw().map(|_| ())
    })?;
    Ok(is_mirror)
}

fn controller<'a>(owner_references: &mut Reader<'a>) -> Result<Option<Owner<'a>>, Malformed> {
    let mut controller = None;
    owner_references.list(&mut |reader| {
        let owner = Owner::read(reader)?;
        if owner.controller && controller.is_none() {
            controller = Some(owner);
        }
        Ok(())
    })?;
    Ok(controller)
}

impl<'a> Owner<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let mut owner = Self::default();
        reader.map(&["kind", "name", "controller"], &mut |reader, key| {
            match key {
                "kind" => owner.kind = reader.text()?,
                "name" => owner.name = reader.text()?,
                _ => owner.controller = reader.bool()?,
            }
            Ok(())
        })?;
        Ok(owner)
    }
}

impl<'a> PodSpec<'a> {
    fn read_below(reader: &mut Reader<'a>, keys: &[&'static str]) -> Result<Self, Malformed> {
        let Some((&key, deeper)) = keys.split_first() else {
            return Self::read(reader);
        };
        let mut spec = None;
        reader.map(&[key], &mut |reader, _| {
            spec = Some(Self::read_below(reader, deeper)?);
            Ok(())
        })?;
        spec.ok_or_else(|| Malformed::lacks(key))
    }

    fn read(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        const KEYS: [&str; 7] = [
            "imagePullSecrets",
            "containers",
            "initContainers",
            "ephemeralContainers",
            "volumes",
            "serviceAccountName",
            "serviceAccount",
        ];
        let mut spec = Self::default();
        reader.map(&KEYS, &mut |reader, key| {
            match key {
                "imagePullSecrets" => spec.image_pull_secrets = Some(reader.raw()?),
                "containers" => spec.containers = Some(reader.raw()?),
                "initContainers" => spec.init_containers = Some(reader.raw()?),
                "ephemeralContainers" => spec.ephemeral_containers = Some(reader.raw()?),
                "volumes" => spec.volumes = Some(reader.raw()?),
                "serviceAccountName" => spec.service_account_name = reader.text()?,
                _ => spec.service_account = reader.text()?,
            }
            Ok(())
        })?;
        Ok(spec)
    }

    /// The service account that the Pods run as. In a template the field may still be empty, and its deprecated alias
    /// counts.
    pub(crate) fn service_account(&self) -> &str {
        [&self.service_account_name, &self.service_account]
            .into_iter()
            .find(|name| !name.is_empty())
            .map_or("default", |name| name)
    }

    /// The names in `imagePullSecrets`, `""` for an entry without one.
    ///
    /// # Errors
    /// What is wrong with the list, with the path below the spec.
    pub(crate) fn pull_secret_names(&self) -> Result<Vec<Cow<'a, str>>, Malformed> {
        names(self.image_pull_secrets)
    }

    /// Every image that the Pods can ask for: containers, init containers, ephemeral containers, image volumes.
    ///
    /// # Errors
    /// What is wrong with one of these lists, with the path below the spec.
    pub(crate) fn images(&self) -> Result<Vec<Cow<'a, str>>, Malformed> {
        let mut images = Vec::new();
        for (field, list) in [
            ("containers", self.containers),
            ("initContainers", self.init_containers),
            ("ephemeralContainers", self.ephemeral_containers),
        ] {
            images.append(&mut texts(field, list, &["image"])?);
        }
        images.append(&mut texts("volumes", self.volumes, &["image", "reference"])?);
        images.retain(|image| !image.is_empty());
        Ok(images)
    }
}

/// The names in a list of references to Secrets, `""` for an entry without one.
///
/// # Errors
/// What is wrong with the list, with the path below its parent.
pub(crate) fn names(image_pull_secrets: Option<&str>) -> Result<Vec<Cow<'_, str>>, Malformed> {
    texts("imagePullSecrets", image_pull_secrets, &["name"])
}

/// The texts below these keys of each entry of a list, `""` for an entry without one.
fn texts<'a>(
    field: &str,
    list: Option<&'a str>,
    keys: &[&'static str],
) -> Result<Vec<Cow<'a, str>>, Malformed> {
    let mut texts = Vec::new();
    let Some(list) = list else {
        return Ok(texts);
    };
    Reader::document(list, |reader| {
        reader.list(&mut |reader| {
            texts.push(text_below(reader, keys)?);
            Ok(())
        })
    })
    .map_err(|malformed| malformed.below(field))?;
    Ok(texts)
}

/// Kubernetes reads `null` as a map without fields.
fn text_below<'a>(reader: &mut Reader<'a>, keys: &[&'static str]) -> Result<Cow<'a, str>, Malformed> {
    let Some((&key, deeper)) = keys.split_first() else {
        return reader.text();
    };
    let mut text = Cow::default();
    if reader.kind()? == Kind::Null {
        return reader.text();
    }
    reader.map(&[key], &mut |reader, _| {
        text = text_below(reader, deeper)?;
        Ok(())
    })?;
    Ok(text)
}
