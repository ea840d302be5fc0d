//! A refused HTTP request.

use http::{Method, StatusCode};

/// A request that [`StreamableHttp`](crate::StreamableHttp) has refused.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Refused {
    /// The method of the HTTP request.
    pub method: Method,
    /// The status of the response.
    pub status: StatusCode,
    /// The option of the program that sets the limit, if there is one.
    pub option: Option<&'static str>,
}
