//! Contents and attributes: written, cut, kept and taken away.

use super::*;

#[test]
fn files_are_written_cut_and_extended() {
    let fixture = Fixture::new();
    let path = fixture.at("src/new.txt");
    fs::write(&path, b"hello").unwrap();
    OpenOptions::new()
        .append(true)
        .open(&path)
        .unwrap()
        .write_all(b" world")
        .unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"hello world");
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(&path)
        .unwrap();
    file.set_len(5).unwrap();
    file.set_len(8).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"hello\0\0\0");
    file.write_all_at(b"X", 3_000_000).unwrap();
    assert_eq!(file.metadata().unwrap().len(), 3_000_001);
    file.sync_all().unwrap();
    File::open(fixture.at("src")).unwrap().sync_all().unwrap();

    let big = fixture.at("big.bin");
    let mut expected = fs::read(&big).unwrap();
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(&big)
        .unwrap();
    file.write_all_at(b"patched", 1_234_567).unwrap();
    expected[1_234_567..1_234_574].copy_from_slice(b"patched");
    assert!(fs::read(&big).unwrap() == expected);
    let mut everything = vec![7_u8; 5 << 20];
    everything[4 << 20] = 9;
    fs::write(&big, &everything).unwrap();
    assert!(fs::read(&big).unwrap() == everything);
    let mut file = file;
    file.seek(io::SeekFrom::Start(4 << 20)).unwrap();
    let mut byte = [0];
    file.read_exact(&mut byte).unwrap();
    assert_eq!(byte, [9]);
}

#[test]
fn a_file_removed_while_open_lives_until_it_is_closed() {
    let fixture = Fixture::new();
    let path = fixture.at("src/main.rs");
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(&path)
        .unwrap();
    fs::remove_file(&path).unwrap();
    assert_eq!(errno(fs::metadata(&path)), libc::ENOENT);
    file.write_all(b"FN").unwrap();
    file.rewind().unwrap();
    let mut text = String::new();
    file.read_to_string(&mut text).unwrap();
    assert_eq!(text, "FN main() {}\n");
    assert_eq!(file.metadata().unwrap().nlink(), 0);
    file.set_len(2).unwrap();
    assert_eq!(file.metadata().unwrap().len(), 2);
    fs::write(&path, b"another").unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"another");
    drop(file);
}

#[test]
fn truncation_fetches_nothing() {
    let fixture = Fixture::new();
    names(&fixture.at("src"));
    let before = fixture.memory.object_calls.load(Ordering::SeqCst);
    fs::write(fixture.at("big.bin"), b"small now").unwrap();
    File::create(fixture.at("src/main.rs")).unwrap();
    OpenOptions::new()
        .write(true)
        .open(fixture.at("README.md"))
        .unwrap()
        .set_len(0)
        .unwrap();
    assert_eq!(fixture.memory.object_calls.load(Ordering::SeqCst), before);
    assert_eq!(fs::read(fixture.at("big.bin")).unwrap(), b"small now");
}

#[test]
fn attributes_and_times_are_kept() {
    if !is_root() {
        println!("skipped: owners, devices and other users are root's to test with");
        return;
    }
    let fixture = Fixture::new();
    let path = fixture.at("README.md");
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    std::os::unix::fs::chown(&path, Some(3), Some(4)).unwrap();
    let before_1970 = SystemTime::UNIX_EPOCH - Duration::from_millis(1200);
    let times = fs::FileTimes::new()
        .set_modified(before_1970)
        .set_accessed(SystemTime::now());
    File::open(&path).unwrap().set_times(times).unwrap();
    let metadata = fs::metadata(&path).unwrap();
    assert_eq!(
        (metadata.mode() & 0o7777, metadata.uid(), metadata.gid()),
        (0o600, 3, 4)
    );
    assert_eq!(metadata.modified().unwrap(), before_1970);
    assert_eq!(fs::read(&path).unwrap(), b"# tool\n");
}

#[test]
fn privileges_do_not_outlive_a_change_by_a_stranger() {
    if !is_root() {
        println!("skipped: owners, devices and other users are root's to test with");
        return;
    }
    let fixture = Fixture::new();
    let path = fixture.at("tool");
    let arm = |mode| {
        fs::write(&path, b"original").unwrap();
        std::os::unix::fs::chown(&path, Some(0), Some(0)).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    };
    let mode = || fs::metadata(&path).unwrap().mode() & 0o7777;
    for script in [
        "printf x >> \"$1\"",
        "printf x > \"$1\"",
        ": > \"$1\"",
        "truncate -s 3 \"$1\"",
        "dd if=/dev/zero of=\"$1\" bs=1 count=1 conv=notrunc status=none",
    ] {
        arm(0o6777);
        assert!(as_nobody(script, &path), "{script}");
        assert_eq!(mode(), 0o777, "{script}");
        arm(0o6767);
        assert!(as_nobody(script, &path), "{script}");
        assert_eq!(mode(), 0o767, "{script}: nobody is not of the group");
        arm(0o6767);
        std::os::unix::fs::chown(&path, Some(0), Some(65_534)).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o6767)).unwrap();
        assert!(as_nobody(script, &path), "{script}");
        assert_eq!(
            mode(),
            0o2767,
            "{script}: without group-execute it is no privilege"
        );
    }
    arm(0o6777);
    fs::write(&path, b"by root").unwrap();
    assert_eq!(mode(), 0o6777, "root keeps them");
    std::os::unix::fs::chown(&path, Some(1), None).unwrap();
    assert_eq!(mode(), 0o777, "a change of owner takes them even so");
    arm(0o644);
    assert!(
        !as_nobody("printf x >> \"$1\" 2>/dev/null", &path),
        "mode bits count"
    );
}

#[test]
fn extended_attributes_follow_the_protocol() {
    if !is_root() {
        println!("skipped: owners, devices and other users are root's to test with");
        return;
    }
    let fixture = Fixture::new();
    let path = fixture.at("README.md");
    let run = |program: &str, arguments: &[&str]| {
        let output = Command::new("python3")
            .args(["-c", program])
            .arg(&path)
            .args(arguments)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    };
    let program = "import os,sys,errno\n\
        p=sys.argv[1]\n\
        def fails(e,f,*a):\n\
        \x20try: f(*a)\n\
        \x20except OSError as x: assert x.errno==e,(x,e); return\n\
        \x20assert 0,(f,a)\n\
        assert os.listxattr(p)==[]\n\
        fails(errno.ENODATA,os.getxattr,p,'user.a')\n\
        os.setxattr(p,'user.a',b'x'*1000); os.setxattr(p,'user.b',b'')\n\
        assert os.getxattr(p,'user.a')==b'x'*1000 and os.getxattr(p,'user.b')==b''\n\
        assert sorted(os.listxattr(p))==['user.a','user.b']\n\
        fails(errno.EEXIST,os.setxattr,p,'user.a',b'1',os.XATTR_CREATE)\n\
        fails(errno.ENODATA,os.setxattr,p,'user.c',b'1',os.XATTR_REPLACE)\n\
        fails(errno.EOPNOTSUPP,os.setxattr,p,'security.a',b'1')\n\
        os.removexattr(p,'user.a'); assert os.listxattr(p)==['user.b']\n\
        print('done')\n";
    assert_eq!(run(program, &[]), "done\n");
}

#[test]
fn locks_space_and_tools_work() {
    let fixture = Fixture::new();
    let locked = Command::new("flock")
        .arg(fixture.at("README.md"))
        .args(["-c", "exit 0"])
        .status()
        .unwrap();
    assert!(locked.success());
    let df = Command::new("df")
        .arg("--output=avail")
        .arg(&fixture.root)
        .output()
        .unwrap();
    let df = String::from_utf8(df.stdout).unwrap();
    assert!(df.lines().nth(1).unwrap().trim().parse::<u64>().unwrap() > 0);
    let copied = Command::new("cp")
        .args(["-a", "--reflink=auto"])
        .arg(fixture.at("src"))
        .arg(fixture.at("copy"))
        .status();
    assert!(copied.unwrap().success());
    let same = Command::new("diff")
        .arg("-r")
        .arg(fixture.at("src"))
        .arg(fixture.at("copy"))
        .status();
    assert!(same.unwrap().success());
    let exclusive = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(fixture.at("README.md"));
    assert_eq!(errno(exclusive), libc::EEXIST);
    let temporary = OpenOptions::new()
        .write(true)
        .custom_flags(libc::O_TMPFILE)
        .open(&fixture.root);
    assert_eq!(errno(temporary), libc::EOPNOTSUPP);
    fixture.mounted.unmount(Unmount::Clean).unwrap();
    fixture.mounted.wait();
}
