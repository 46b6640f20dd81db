//! An operation of an API, one call of the operation, and the errors of a call.

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

/// One call, with the details that its errors name.
#[derive(Debug, Clone)]
pub(super) struct Call {
    /// The operation, or a description in words.
    pub(super) action: &'static str,
    /// The host that is called, with its port.
    pub(super) host: String,
    /// Whether the call belongs to Personal Edition, whose codes have other meanings.
    pub(super) personal: bool,
    /// The principal whose rights it uses, such as [`Origin::principal`](super::keys::Origin::principal).
    pub(super) principal: Option<String>,
}

impl Operation {
    /// Creates an operation of an RPC-style product.
    pub(super) const fn rpc(action: &'static str, version: &'static str) -> Self {
        Self { action, version, method: Method::POST, path: "/" }
    }

    /// Creates a call of this operation.
    pub(super) fn call(&self, base: &Base, principal: String) -> Call {
        let personal = self.version == "2016-06-07";
        Call { personal, principal: Some(principal), ..Call::new(self.action, base.authority()) }
    }
}

impl Call {
    /// Creates a call that is not signed and does not belong to Personal Edition.
    pub(super) fn new(action: &'static str, host: String) -> Self {
        Self { action, host, personal: false, principal: None }
    }

    /// Creates the error for a failure of this call.
    pub(super) fn error(&self, reason: Reason) -> CloudError {
        let mut error = CloudError::new(reason, self.action);
        error.details.host = Some(self.host.clone());
        error.details.principal.clone_from(&self.principal);
        error
    }

    /// Creates the error for a response with this problem.
    pub(super) fn malformed(&self, problem: impl Into<String>) -> CloudError {
        self.error(Reason::MalformedAnswer).because(problem)
    }

    /// Creates the error for no response or an incomplete response.
    pub(super) fn unanswered(&self, cause: impl std::fmt::Display) -> CloudError {
        self.error(Reason::Unreachable).because(format!("no answer, {cause}"))
    }
}
