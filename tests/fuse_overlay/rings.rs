//! Requests by io_uring: where the kernel offers it they come that way, and where it does not, all works as
//! ever.

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;

use super::{Fixture, Opens, Transport};

#[test]
fn requests_come_by_rings_where_the_kernel_offers_them() {
    let is_offered = mesa::fuse::rings_offered().is_ok();
    for opens in [Opens::Kernel, Opens::Plain] {
        let fixture = Fixture::of(opens, Transport::IoUring);
        let file = fixture.at("made");
        let mut made = fs::File::create(&file).unwrap();
        let bytes: Vec<u8> = (0..3_000_000_u32).map(|number| number as u8).collect();
        made.write_all(&bytes).unwrap();
        made.sync_all().unwrap();
        drop(made);
        assert_eq!(fs::read(&file).unwrap(), bytes);
        symlink("made", fixture.at("pointer")).unwrap();
        fs::rename(&file, fixture.at("moved")).unwrap();
        assert_eq!(
            fs::read(fixture.at("pointer")).map_err(|error| error.kind()),
            Err(std::io::ErrorKind::NotFound)
        );
        let names = fs::read_dir(fixture.at("")).unwrap().count();
        assert!(names > 2, "{names}");
        let (agreed, came) = fixture.mounted.counters().rings();
        assert_eq!(agreed, is_offered);
        assert_eq!(came > 20, is_offered, "{came}");
    }
}
