//! Faults on demand.

use serde::{Deserialize, Serialize};

use crate::message::Request;

/// A fault, for which calls and how often.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Fault {
    /// The action whose calls it meets; every call's if not given.
    #[serde(default)]
    pub action: Option<Action>,
    /// The ACR instance whose calls it meets; every one's if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// How many calls it meets; all until it is cleared if not given.
    #[serde(default)]
    pub times: Option<u32>,
    /// What happens.
    #[serde(flatten)]
    pub kind: FaultKind,
}

/// What is called, as counters and faults name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Action {
    /// ACR Enterprise (2018-12-01).
    GetAuthorizationToken,
    /// ACR Enterprise (2018-12-01).
    ListInstanceEndpoint,
    /// ACR Personal (2016-06-07): its action is called `GetAuthorizationToken` too.
    GetPersonalToken,
    /// STS, signed.
    AssumeRole,
    /// STS, unsigned.
    AssumeRoleWithOIDC,
    /// `PUT /latest/api/token`.
    MetadataToken,
    /// The credentials of the ECS instance's role.
    MetadataCredentials,
    /// Any other metadata: the role's name, the region, ….
    Metadata,
    /// A registry's `/v2/`.
    Registry,
    /// A login at a registry, `/auth`: what the test bed's registry asks before it lets anybody pull.
    RegistryLogin,
    /// None of these.
    Unknown,
}

impl Action {
    /// The name on the wire or, where there is none, the fake's own.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::GetAuthorizationToken | Self::GetPersonalToken => "GetAuthorizationToken",
            Self::ListInstanceEndpoint => "ListInstanceEndpoint",
            Self::AssumeRole => "AssumeRole",
            Self::AssumeRoleWithOIDC => "AssumeRoleWithOIDC",
            Self::MetadataToken => "MetadataToken",
            Self::MetadataCredentials => "MetadataCredentials",
            Self::Metadata => "Metadata",
            Self::Registry => "Registry",
            Self::RegistryLogin => "RegistryLogin",
            Self::Unknown => "Unknown",
        }
    }
}

/// What happens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum FaultKind {
    /// Refused for now.
    Throttle {
        /// HTTP status, 400 if not given.
        #[serde(default)]
        status: Option<u16>,
        /// `TimeLeft` of the header `x-ratelimit-user-api`, in milliseconds.
        #[serde(default)]
        time_left_ms: Option<u64>,
        /// `x-acs-retry-after`, in milliseconds: the hint that the vendor's newest SDKs read.
        #[serde(default)]
        acs_retry_after_ms: Option<u64>,
        /// `Retry-After`, in seconds.
        #[serde(default)]
        retry_after: Option<u64>,
    },
    /// Refused with this error.
    Error {
        /// HTTP status, 503 if not given.
        #[serde(default)]
        status: Option<u16>,
        /// The code, `ServiceUnavailable` if not given.
        #[serde(default)]
        code: Option<String>,
        /// Whether it is written in XML.
        #[serde(default)]
        xml: bool,
    },
    /// The connection is reset.
    Reset,
    /// Never answered.
    Stall,
    /// The answer is right, and comes late.
    Delay {
        /// By how many milliseconds.
        ms: u64,
    },
    /// The body comes byte by byte.
    Slow {
        /// The pause between two bytes, in milliseconds.
        pause_ms: u64,
    },
    /// The connection ends within the body.
    Truncate {
        /// How many bytes of the body arrive.
        bytes: usize,
    },
    /// HTTP 200 with a body of another world.
    NonJson,
    /// HTTP 200 with `IsSuccess: false`.
    Unsuccessful {
        /// The code.
        code: String,
    },
    /// Credentials and sessions handed out live so many seconds; negative: they have expired already.
    Life {
        /// In seconds.
        seconds: i64,
    },
    /// Registry credentials are handed out with a user and an empty password.
    EmptyPassword,
    /// The server's clock is off by so many seconds when it checks dates.
    ClockSkew {
        /// In seconds.
        seconds: i64,
    },
}

/// The faults that are set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// Adds one behind the others.
    pub fn add(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    /// Takes all away.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Those that are left.
    #[must_use]
    pub fn list(&self) -> &[Fault] {
        &self.0
    }

    /// The first that meets this call, counted down.
    pub(crate) fn take(&mut self, action: Action, request: &Request) -> Option<FaultKind> {
        let position = self.0.iter().position(|fault| {
            fault.action.is_none_or(|only| only == action)
                && (fault.instance.is_none() || fault.instance == request.parameter("InstanceId"))
        })?;
        let fault = self.0.get_mut(position)?;
        let kind = fault.kind.clone();
        if let Some(times) = &mut fault.times {
            *times = times.saturating_sub(1);
            if *times == 0 {
                self.0.remove(position);
            }
        }
        Some(kind)
    }
}
