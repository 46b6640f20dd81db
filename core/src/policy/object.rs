//! Views of Kubernetes objects: the fields that decisions depend on, borrowed, and their positions in the object's text.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::Shape;
use crate::json::{self, Malformed, Map, Raw, Text};

/// A Pod, or a workload with the template of its Pods.
#[derive(Debug)]
pub(super) struct PodOrTemplate<'a> {
    pub(super) metadata: Metadata<'a>,
    pub(super) spec: PodSpec<'a>,
    /// The path of the spec in the object.
    pub(super) path: &'static str,
}

/// A service account.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ServiceAccount<'a> {
    #[serde(borrow, default)]
    pub(super) metadata: Map<Metadata<'a>>,
    #[serde(default)]
    pub(super) image_pull_secrets: Raw<'a>,
}

/// The metadata that decisions depend on.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Metadata<'a> {
    #[serde(borrow)]
    pub(super) name: Text<'a>,
    pub(super) generate_name: Text<'a>,
    annotations: Option<Map<Annotations<'a>>>,
    owner_references: Option<Vec<Map<Owner<'a>>>>,
    pub(super) deletion_timestamp: Option<IgnoredAny>,
}

#[derive(Debug, Default, Deserialize)]
struct Annotations<'a> {
    /// The kubelet sets this annotation on the API server's copy of a static Pod. Kubernetes refuses such a Pod when it refers
    /// to any Secret.
    #[serde(borrow, default, rename = "kubernetes.io/config.mirror")]
    mirror: Raw<'a>,
}

/// An owner reference.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Owner<'a> {
    #[serde(borrow)]
    pub(super) kind: Text<'a>,
    pub(super) name: Text<'a>,
    controller: Option<bool>,
}

/// The `spec` of a Pod or of a pod template.
///
/// Its lists are kept as they are written: their positions show where another field can be inserted, and their entries
/// are not always needed.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PodSpec<'a> {
    #[serde(borrow, default)]
    pub(super) image_pull_secrets: Raw<'a>,
    #[serde(default)]
    pub(super) containers: Raw<'a>,
    #[serde(default)]
    init_containers: Raw<'a>,
    #[serde(default)]
    ephemeral_containers: Raw<'a>,
    #[serde(default)]
    volumes: Raw<'a>,
    service_account_name: Text<'a>,
    service_account: Text<'a>,
}

impl<'a> PodOrTemplate<'a> {
    /// Reads an object of this shape.
    ///
    /// # Errors
    /// Returns what is wrong with the object, with the path.
    pub(super) fn parse(object: &'a str, shape: Shape) -> Result<Self, Malformed> {
        /// The levels above a pod spec.
        #[derive(Deserialize)]
        #[serde(bound(deserialize = "S: Deserialize<'de>"))]
        struct Object<'a, S> {
            #[serde(borrow, default)]
            metadata: Map<Metadata<'a>>,
            spec: Map<S>,
        }
        #[derive(Deserialize)]
        struct Template<'a> {
            #[serde(borrow)]
            template: Map<Spec<PodSpec<'a>>>,
        }
        #[derive(Deserialize)]
        struct JobTemplate<'a> {
            #[serde(borrow, rename = "jobTemplate")]
            job_template: Map<Spec<Template<'a>>>,
        }
        #[derive(Deserialize)]
        struct Spec<S> {
            spec: Map<S>,
        }
        let (metadata, spec, path) = match shape {
            Shape::Pod | Shape::ServiceAccount => {
                let Map(Object { metadata, spec }) = json::read::<Map<Object<'_, PodSpec<'_>>>>(object)?;
                (metadata, spec, "spec")
            }
            Shape::Template => {
                let Map(Object { metadata, spec }) = json::read::<Map<Object<'_, Template<'_>>>>(object)?;
                (metadata, spec.0.template.0.spec, "spec.template.spec")
            }
            Shape::JobTemplate => {
                let Map(Object { metadata, spec }) = json::read::<Map<Object<'_, JobTemplate<'_>>>>(object)?;
                let template = spec.0.job_template.0.spec.0.template;
                (metadata, template.0.spec, "spec.jobTemplate.spec.template.spec")
            }
        };
        Ok(Self { metadata: metadata.0, spec: spec.0, path })
    }

    /// Returns the names in `imagePullSecrets`, with `""` for an entry without a name.
    ///
    /// # Errors
    /// Returns what is wrong with the list, with the path.
    pub(super) fn pull_secret_names(&self) -> Result<Vec<Cow<'a, str>>, Malformed> {
        names(self.spec.image_pull_secrets).map_err(|malformed| malformed.below(self.path))
    }
}

impl Metadata<'_> {
    pub(super) fn is_mirror(&self) -> bool {
        self.annotations.as_ref().is_some_and(|Map(annotations)| annotations.mirror.0.is_some())
    }

    /// Returns the owner that controls the object, or else the first owner.
    pub(super) fn owner(&self) -> Option<&Owner<'_>> {
        let owners = || self.owner_references.iter().flatten().map(|Map(owner)| owner);
        owners().find(|owner| owner.controller == Some(true)).or_else(|| owners().next())
    }

    /// Returns whether another object owns this one. An owner need not be the controller, because some operators do not set
    /// `controller`.
    pub(super) fn is_owned(&self) -> bool {
        self.owner().is_some()
    }
}

impl<'a> PodSpec<'a> {
    /// Returns the service account that the Pods run as. In a template the field may still be empty; then its deprecated alias
    /// is used.
    pub(super) fn service_account(&self) -> &str {
        [&self.service_account_name.0, &self.service_account.0]
            .into_iter()
            .find(|name| !name.is_empty())
            .map_or("default", |name| name)
    }

    /// Returns every image that the Pods can pull: containers, init containers, ephemeral containers, image volumes.
    ///
    /// # Errors
    /// Returns what is wrong with one of these lists, with the path below the spec.
    pub(super) fn images(&self) -> Result<Vec<Cow<'a, str>>, Malformed> {
        #[derive(Default, Deserialize)]
        struct Container<'a> {
            #[serde(borrow)]
            image: Text<'a>,
        }
        #[derive(Default, Deserialize)]
        struct Volume<'a> {
            #[serde(borrow)]
            image: Option<Map<Image<'a>>>,
        }
        #[derive(Default, Deserialize)]
        struct Image<'a> {
            #[serde(borrow)]
            reference: Text<'a>,
        }
        let mut images = Vec::new();
        for (field, list) in [
            ("containers", self.containers),
            ("initContainers", self.init_containers),
            ("ephemeralContainers", self.ephemeral_containers),
        ] {
            images.extend(entries::<Container<'_>>(field, list)?.map(|container| container.image.0));
        }
        let volumes = entries::<Volume<'_>>("volumes", self.volumes)?;
        images.extend(volumes.filter_map(|volume| volume.image).map(|Map(image)| image.reference.0));
        images.retain(|image| !image.is_empty());
        Ok(images)
    }
}

/// Returns the names in a list of references to Secrets, with `""` for an entry without a name.
///
/// # Errors
/// Returns what is wrong with the list, with the path below its parent.
pub(super) fn names(image_pull_secrets: Raw<'_>) -> Result<Vec<Cow<'_, str>>, Malformed> {
    #[derive(Default, Deserialize)]
    struct Reference<'a> {
        #[serde(borrow)]
        name: Text<'a>,
    }
    let references = entries::<Reference<'_>>("imagePullSecrets", image_pull_secrets)?;
    Ok(references.map(|reference| reference.name.0).collect())
}

/// Reads the entries of a list. As in Kubernetes, `null` is an entry without fields, and such an entry counts.
fn entries<'a, T: Default + Deserialize<'a>>(
    field: &str,
    list: Raw<'a>,
) -> Result<impl Iterator<Item = T>, Malformed> {
    let entries: Vec<Option<Map<T>>> = match list.not_null() {
        Some(list) => json::read(list).map_err(|malformed| malformed.below(field))?,
        None => Vec::new(),
    };
    Ok(entries.into_iter().map(|entry| entry.map(|Map(entry)| entry).unwrap_or_default()))
}
