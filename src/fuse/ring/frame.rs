//! The memory of one request at a time: the kernel writes it there, and reads the answer from there.
//!
//! ```text
//!   0  head of the request (fuse_in_header), later that of the answer (fuse_out_header)
//! 128  the structure that belongs to the kind of request
//! 256  how they go together: flags, number of the request, bytes of the payload
//! ---  a page further
//!      payload: names and bytes of the request, later all of the answer
//! ```

use std::io;

use memmap2::MmapMut;

use super::answer::Outcome;
use crate::fuse::capabilities::WRITE_BYTES_MAX;
use crate::fuse::request::Request;
use crate::fuse::wire::Fields;

const STRUCTURE: usize = 128;
const MEETING: usize = 256;
/// `sizeof(struct fuse_uring_req_header)`.
const HEAD_BYTES: usize = 288;
/// Where the payload begins.
const PAYLOAD: usize = 4096;
/// The kernel asks for room for the largest write, and for as many pages as one request has.
const PAYLOAD_BYTES: usize = WRITE_BYTES_MAX as usize;
/// `sizeof(struct fuse_out_header)`.
const OUT_HEAD_BYTES: u32 = 16;

/// The memory of one request. A page of it is taken from the machine when it is first used.
pub(super) struct Frame {
    memory: MmapMut,
    /// The number that the kernel knows the request in it by.
    unique: u64,
}

/// A request as it lies in a frame.
pub(super) struct Arrived<'a> {
    pub(super) opcode: u32,
    pub(super) node: u64,
    pub(super) request: Request,
    pub(super) structure: &'a [u8],
    pub(super) payload: &'a [u8],
}

impl Frame {
    /// # Errors
    ///
    /// No memory, or no room for it.
    pub(super) fn new() -> io::Result<Frame> {
        Ok(Frame {
            memory: MmapMut::map_anon(PAYLOAD + PAYLOAD_BYTES)?,
            unique: 0,
        })
    }

    /// Where the kernel is to find its two parts.
    pub(super) fn vectors(&mut self) -> [libc::iovec; 2] {
        let (head, payload) = self.memory.split_at_mut(PAYLOAD);
        [(head, HEAD_BYTES), (payload, PAYLOAD_BYTES)].map(|(part, bytes)| libc::iovec {
            iov_base: part.as_mut_ptr().cast(),
            iov_len: bytes,
        })
    }

    /// The number of the request that has arrived last.
    pub(super) fn unique(&self) -> u64 {
        self.unique
    }

    /// Reads what the kernel has written.
    pub(super) fn arrived(&mut self) -> Arrived<'_> {
        let (head, payload) = self.memory.split_at(PAYLOAD);
        let (front, meeting) = head.split_at(MEETING);
        let (front, structure) = front.split_at(STRUCTURE);
        let mut fields = Fields::of(front);
        let (_bytes, opcode) = (fields.u32(), fields.u32());
        let (unique, node) = (fields.u64(), fields.u64());
        let (uid, gid) = (fields.u32(), fields.u32());
        let mut fields = Fields::of(meeting);
        let (_flags, number) = (fields.u64(), fields.u64());
        let bytes = fields.u32() as usize;
        self.unique = number;
        Arrived {
            opcode,
            node,
            request: Request { unique, uid, gid },
            structure,
            payload: payload.get(..bytes).unwrap_or(payload),
        }
    }

    /// Writes what the kernel is to read.
    pub(super) fn answer(&mut self, result: &Outcome) {
        let (head, payload) = self.memory.split_at_mut(PAYLOAD);
        let (error, bytes) = match result {
            Ok(bytes) => (0, &bytes[..]),
            Err(errno) => (-errno.code(), &[][..]),
        };
        // More than the kernel asked for, nobody gives.
        let bytes = bytes.get(..PAYLOAD_BYTES).unwrap_or(bytes);
        let (front, meeting) = head.split_at_mut(MEETING);
        let unique = self.unique.to_ne_bytes();
        let head_bytes = OUT_HEAD_BYTES.to_ne_bytes();
        fill(front, &[&head_bytes, &error.to_ne_bytes(), &unique]);
        let count = (bytes.len() as u32).to_ne_bytes();
        fill(meeting, &[&[0; 8], &unique, &count]);
        if let Some(there) = payload.get_mut(..bytes.len()) {
            there.copy_from_slice(bytes);
        }
    }
}

/// Writes the parts, one behind the other.
fn fill(into: &mut [u8], parts: &[&[u8]]) {
    let bytes = parts.iter().flat_map(|part| part.iter());
    for (there, byte) in into.iter_mut().zip(bytes) {
        *there = *byte;
    }
}

#[cfg(test)]
mod tests {
    use fuser::Errno;

    use super::*;

    #[test]
    fn a_request_is_read_and_answered_where_the_kernel_has_it() {
        let mut frame = Frame::new().unwrap();
        let head = [&[40_u32, 1][..], &[9, 0, 5, 0, 1000, 100]].concat();
        let head: Vec<u8> = head.iter().flat_map(|part| part.to_ne_bytes()).collect();
        fill(&mut frame.memory, &[&head]);
        fill(
            &mut frame.memory[MEETING..],
            &[&[0; 8], &9_u64.to_ne_bytes(), &5_u32.to_ne_bytes()],
        );
        fill(&mut frame.memory[STRUCTURE..], &[&[3]]);
        fill(&mut frame.memory[PAYLOAD..], &[b"name\0and more"]);
        let arrived = frame.arrived();
        assert_eq!((arrived.opcode, arrived.node), (1, 5));
        let request = Request {
            unique: 9,
            uid: 1000,
            gid: 100,
        };
        assert_eq!(arrived.request, request);
        assert_eq!(arrived.structure[0], 3);
        assert_eq!(arrived.payload, b"name\0");

        frame.answer(&Ok(b"answer".to_vec()));
        let mut fields = Fields::of(&frame.memory);
        assert_eq!((fields.u32(), fields.i32(), fields.u64()), (16, 0, 9));
        let mut fields = Fields::of(&frame.memory[MEETING..]);
        assert_eq!((fields.u64(), fields.u64(), fields.u32()), (0, 9, 6));
        assert_eq!(&frame.memory[PAYLOAD..][..6], b"answer");

        frame.answer(&Err(Errno::ENOENT));
        let mut fields = Fields::of(&frame.memory);
        assert_eq!(
            (fields.u32(), fields.i32(), fields.u64()),
            (16, -libc::ENOENT, 9)
        );
    }
}
