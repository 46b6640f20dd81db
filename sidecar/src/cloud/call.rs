//! An operation of an API, one call of it, and the errors that the call can end with.

use reqwest::Method;

use super::endpoints::Base;
use super::error::{CloudError, Reason};

/// An operation of an API.
#[derive(Debug, Clone)]
pub(super) struct Operation {
    pub(super) action: &'static str,
    pub(super) version: &'static str,
    pub(super) method: Method,
    pub(super) path: &'static str,
}

/// One call, as its errors name it.
#[derive(Debug, Clone)]
pub(super) struct Call {
    /// The operation, or what is done in words.
    pub(super) action: &'static str,
    /// The host that is asked, with its port.
    pub(super) host: String,
    /// Whether the call is one of Personal Edition, whose codes mean other things.
    pub(super) personal: bool,
    /// Whose rights it uses, such as [`Origin::principal`](super::keys::Origin::principal).
    pub(super) principal: Option<String>,
}

impl Operation {
    /// An operation of an RPC-style product.
    pub(super) const fn rpc(action: &'static str, version: &'static str) -> Self {
        Self { action, version, method: Method::POST, path: "/" }
    }

    /// A call of this operation.
    pub(super) fn call(&self, base: &Base, principal: String) -> Call {
        let personal = self.version == "2016-06-07";
        Call { personal, principal: Some(principal), ..Call::new(self.action, base.authority()) }
    }
}

impl Call {
    /// A call that is not signed and not of Personal Edition.
    pub(super) fn new(action: &'static str, host: String) -> Self {
        Self { action, host, personal: false, principal: None }
    }

    /// A failure of this call.
    pub(super) fn error(&self, reason: Reason) -> CloudError {
        let mut error = CloudError::new(reason, self.action);
        error.details.host = Some(self.host.clone());
        error.details.principal.clone_from(&self.principal);
        error
    }

    /// An answer of which this is wrong.
    pub(super) fn malformed(&self, problem: impl Into<String>) -> CloudError {
        self.error(Reason::MalformedAnswer).because(problem)
    }

    /// No answer, or only a part of one.
    pub(super) fn unanswered(&self, cause: impl std::fmt::Display) -> CloudError {
        self.error(Reason::Unreachable).because(format!("no answer, {cause}"))
    }
}
