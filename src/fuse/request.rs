//! Who asks: what handlers need of a request's head, however it came.

/// The head of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Request {
    /// The kernel's number of it.
    pub(super) unique: u64,
    pub(super) uid: u32,
    pub(super) gid: u32,
}

impl From<&fuser::Request> for Request {
    fn from(request: &fuser::Request) -> Request {
        Request {
            unique: request.unique().0,
            uid: request.uid(),
            gid: request.gid(),
        }
    }
}
