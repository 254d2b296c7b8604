//! Datagrams, one or many a call.

use std::io;
use std::mem;
use std::os::fd::RawFd;
use std::ptr;

use libc::{c_int, cmsghdr, iovec, mmsghdr, msghdr};

use super::{RawAddress, check, check_size};
use crate::os::{RecvMessage, SendMessage};

/// Datagrams a call: enough to make the call's own cost small, few enough for their headers to stand on the stack.
const BATCH: usize = 32;

/// Room for one control message with an integer, aligned for its header.
#[repr(C)]
union Control {
    header: cmsghdr,
    room: [u8; 32],
}

/// What the kernel needs beside the bytes of one datagram.
struct Slot {
    iov: iovec,
    address: RawAddress,
    control: Control,
}

fn empty_slot() -> Slot {
    Slot {
        iov: iovec { iov_base: ptr::null_mut(), iov_len: 0 },
        address: RawAddress::empty(),
        control: Control { room: [0; 32] },
    }
}

fn empty_header() -> mmsghdr {
    // SAFETY: `mmsghdr` is integers and pointers; zeros mean "none".
    unsafe { mem::zeroed() }
}

/// Receives datagrams into the batch; how many, at least one.
pub(in crate::os) fn recv_batch(fd: RawFd, batch: &mut [RecvMessage<'_>], flags: c_int) -> io::Result<usize> {
    match batch.len() {
        0 => Ok(0),
        1 => recv::<1>(fd, batch, flags),
        _ => recv::<BATCH>(fd, batch, flags),
    }
}

fn recv<const N: usize>(fd: RawFd, batch: &mut [RecvMessage<'_>], flags: c_int) -> io::Result<usize> {
    let count = batch.len().min(N);
    let mut slots: [Slot; N] = std::array::from_fn(|_| empty_slot());
    let mut headers = [empty_header(); N];
    for ((message, slot), header) in batch.iter_mut().zip(&mut slots).zip(&mut headers) {
        slot.iov = iovec { iov_base: message.into.as_mut_ptr().cast(), iov_len: message.into.len() };
        let (name, _) = slot.address.pointers();
        header.msg_hdr.msg_name = name.cast();
        header.msg_hdr.msg_namelen = slot.address.length();
        header.msg_hdr.msg_iov = &raw mut slot.iov;
        header.msg_hdr.msg_iovlen = 1;
        header.msg_hdr.msg_control = (&raw mut slot.control).cast();
        header.msg_hdr.msg_controllen = mem::size_of::<Control>() as _;
    }
    let came = if count == 1 {
        // SAFETY: the header's pointers are to a slot and to the message's bytes, writable all and alive.
        headers[0].msg_len =
            check_size(unsafe { libc::recvmsg(fd, &raw mut headers[0].msg_hdr, flags) })? as u32;
        1
    } else {
        // SAFETY: `count` headers, each as above.
        check(unsafe { libc::recvmmsg(fd, headers.as_mut_ptr(), count as u32, flags as _, ptr::null_mut()) })?
            as usize
    };
    for ((message, slot), header) in batch.iter_mut().zip(&mut slots).zip(&headers).take(came) {
        message.count = (header.msg_len as usize).min(message.into.len());
        message.truncated = header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0;
        slot.address.set_length(header.msg_hdr.msg_namelen);
        message.from = slot.address.decode()?;
        message.segment = segment(&header.msg_hdr);
    }
    Ok(came)
}

/// The size of joined datagrams, from the control messages.
fn segment(header: &msghdr) -> usize {
    // SAFETY: the kernel has written `msg_controllen` bytes of control messages at `msg_control`, which CMSG_FIRSTHDR looks at;
    // a message of this type carries an integer.
    unsafe {
        let control = libc::CMSG_FIRSTHDR(header);
        if !control.is_null()
            && (*control).cmsg_level == libc::SOL_UDP
            && (*control).cmsg_type == libc::UDP_GRO
        {
            return libc::CMSG_DATA(control).cast::<c_int>().read_unaligned().max(0) as usize;
        }
    }
    0
}

/// Sends the datagrams of the batch; how many left, at least one.
pub(in crate::os) fn send_batch(fd: RawFd, batch: &[SendMessage<'_>]) -> io::Result<usize> {
    match batch.len() {
        0 => Ok(0),
        1 => send::<1>(fd, batch),
        _ => send::<BATCH>(fd, batch),
    }
}

fn send<const N: usize>(fd: RawFd, batch: &[SendMessage<'_>]) -> io::Result<usize> {
    let count = batch.len().min(N);
    let mut slots: [Slot; N] = std::array::from_fn(|_| empty_slot());
    let mut headers = [empty_header(); N];
    for ((message, slot), header) in batch.iter().zip(&mut slots).zip(&mut headers) {
        slot.iov = iovec { iov_base: message.bytes.as_ptr().cast_mut().cast(), iov_len: message.bytes.len() };
        if let Some(to) = &message.to {
            slot.address = RawAddress::new(to);
            header.msg_hdr.msg_name = slot.address.pointer().cast_mut().cast();
            header.msg_hdr.msg_namelen = slot.address.length();
        }
        header.msg_hdr.msg_iov = &raw mut slot.iov;
        header.msg_hdr.msg_iovlen = 1;
        if message.segment > 0 {
            ask_for_segments(&mut header.msg_hdr, &mut slot.control, message.segment);
        }
    }
    let flags = libc::MSG_NOSIGNAL;
    if count == 1 {
        // SAFETY: the header's pointers are to a slot and to the message's bytes, readable all and alive; sendmsg writes to none.
        return check_size(unsafe { libc::sendmsg(fd, &raw const headers[0].msg_hdr, flags) }).map(|_| 1);
    }
    // SAFETY: `count` headers, each as above; sendmmsg writes their lengths only.
    check(unsafe { libc::sendmmsg(fd, headers.as_mut_ptr(), count as u32, flags as _) })
        .map(|left| left as usize)
}

fn ask_for_segments(header: &mut msghdr, control: &mut Control, size: u16) {
    header.msg_control = (&raw mut *control).cast();
    // SAFETY: CMSG_SPACE and CMSG_LEN compute; the room is aligned for the header, and large enough for it and two bytes.
    unsafe {
        header.msg_controllen = libc::CMSG_SPACE(mem::size_of::<u16>() as u32) as _;
        let first = libc::CMSG_FIRSTHDR(header);
        (*first).cmsg_level = libc::SOL_UDP;
        (*first).cmsg_type = libc::UDP_SEGMENT;
        (*first).cmsg_len = libc::CMSG_LEN(mem::size_of::<u16>() as u32) as _;
        libc::CMSG_DATA(first).cast::<u16>().write_unaligned(size);
    }
}
