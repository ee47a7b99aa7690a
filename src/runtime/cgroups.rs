//! The memory and the processor time that the control groups leave to this process.
//!
//! A process is in one group of the unified hierarchy (version 2), or in one per controller
//! (version 1), or in both at once. Every group on the way up to the root may have a limit, and the
//! smallest counts. A container sees only a part of the tree: what is mounted at the mount point is
//! the group that `mountinfo` names, which may be below the root or not an ancestor at all.
//!
//! Source: cgroups(7), proc_pid_mountinfo(5) and the kernel's cgroup-v1/memory, cgroup-v2 and
//! scheduler/sched-bwc.

use std::fs;
use std::path::{Component, Path, PathBuf};

/// What a group may limit.
#[derive(Clone, Copy, Debug)]
struct Resource {
    /// The controller's name in version 1.
    controller: &'static str,
    /// The limit of the group in this directory, if it has one.
    limit: fn(Version, &Path) -> Option<u64>,
}

/// In bytes.
const MEMORY: Resource = Resource { controller: "memory", limit: group_memory };
/// In thousandths of a processor.
const CPU: Resource = Resource { controller: "cpu", limit: group_millicpus };

/// The smallest limit of memory that applies to this process, bytes; `None` if there is none.
pub fn memory_limit() -> Option<u64> {
    limit_below(Path::new("/"), MEMORY)
}

/// The processor time that this process may use, in thousandths of one processor; `None` if there
/// is no quota.
pub fn millicpus() -> Option<u64> {
    limit_below(Path::new("/"), CPU)
}

/// The smallest limit in the system whose files are below `root`.
fn limit_below(root: &Path, resource: Resource) -> Option<u64> {
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_default();
    let groups = groups(&read("proc/self/cgroup"), resource.controller);
    let mounts = mounts(&read("proc/self/mountinfo"), resource.controller);
    let limits = groups.iter().filter_map(|group| {
        let mount = mounts.iter().find(|mount| mount.version == group.version)?;
        smallest_limit(root, mount, group, resource)
    });
    limits.min()
}

fn group_memory(version: Version, group: &Path) -> Option<u64> {
    let file = match version {
        Version::V1 => "memory.limit_in_bytes",
        Version::V2 => "memory.max",
    };
    // `max` is no number; version 1 writes a very large one instead.
    fs::read_to_string(group.join(file)).ok()?.trim().parse().ok()
}

fn group_millicpus(version: Version, group: &Path) -> Option<u64> {
    let read = |file: &str| fs::read_to_string(group.join(file)).ok();
    // So many microseconds in each period of so many; without a quota `max`, or -1 in version 1.
    let (quota, period) = match version {
        Version::V1 => (read("cpu.cfs_quota_us")?, read("cpu.cfs_period_us")?),
        Version::V2 => {
            let text = read("cpu.max")?;
            let (quota, period) = text.trim().split_once(' ')?;
            (quota.to_owned(), period.to_owned())
        }
    };
    let quota: u64 = quota.trim().parse().ok()?;
    let period: u64 = period.trim().parse().ok()?;
    quota.saturating_mul(1000).checked_div(period)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    V1,
    V2,
}

/// A group with a say on this process's resources, by its path in its hierarchy.
#[derive(Debug, PartialEq, Eq)]
struct Group {
    version: Version,
    path: PathBuf,
}

/// Where a hierarchy, or a part of it, is mounted.
#[derive(Debug, PartialEq, Eq)]
struct Mount {
    version: Version,
    /// The group that is seen at the mount point, by its path in the hierarchy.
    group: PathBuf,
    point: PathBuf,
}

/// From the lines `number:controllers:path` of `/proc/self/cgroup`.
fn groups(text: &str, controller: &str) -> Vec<Group> {
    let groups = text.lines().filter_map(|line| {
        let mut fields = line.splitn(3, ':');
        let (number, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        let version = match (number, controllers) {
            ("0", "") => Version::V2,
            (_, list) if list.split(',').any(|name| name == controller) => Version::V1,
            _ => return None,
        };
        Some(Group { version, path: path.into() })
    });
    groups.collect()
}

/// From the lines `id parent device group point options [tags] - type source super-options` of
/// `/proc/self/mountinfo`.
fn mounts(text: &str, controller: &str) -> Vec<Mount> {
    let mounts = text.lines().filter_map(|line| {
        let (first, second) = line.split_once(" - ")?;
        let mut first = first.split(' ').skip(3);
        let (group, point) = (unescape(first.next()?), unescape(first.next()?));
        let mut second = second.split(' ');
        let (kind, options) = (second.next()?, second.nth(1)?);
        let version = match kind {
            "cgroup2" => Version::V2,
            "cgroup" if options.split(',').any(|option| option == controller) => Version::V1,
            _ => return None,
        };
        Some(Mount { version, group, point })
    });
    mounts.collect()
}

/// Blanks and the like stand there as three octal digits behind a backslash.
fn unescape(text: &str) -> PathBuf {
    let mut pieces = text.split('\\');
    let mut path = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        match piece.get(..3).map(|digits| (u8::from_str_radix(digits, 8), &piece[3..])) {
            Some((Ok(byte), rest)) if byte.is_ascii() => {
                path.push(char::from(byte));
                path.push_str(rest);
            }
            _ => {
                path.push('\\');
                path.push_str(piece);
            }
        }
    }
    path.into()
}

/// The smallest limit of the group and of those above it, as far up as they are mounted.
fn smallest_limit(root: &Path, mount: &Mount, group: &Group, resource: Resource) -> Option<u64> {
    let point = root.join(mount.point.strip_prefix("/").ok()?);
    // A group outside of what is mounted is shown with `..`, or from another root: its own limits
    // cannot be seen, those of what is mounted are the nearest there is.
    let below = group.path.strip_prefix(&mount.group).unwrap_or(Path::new(""));
    let plain = below.components().all(|part| matches!(part, Component::Normal(_)));
    let below = if plain { below } else { Path::new("") };
    let limits =
        below.ancestors().filter_map(|above| (resource.limit)(mount.version, &point.join(above)));
    limits.min()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory that stands for the root of a system.
    struct Fixture(PathBuf);

    impl Fixture {
        fn new(name: &str, files: &[(&str, &str)]) -> Fixture {
            let unique = format!("ringwell-cgroups-{name}-{}", std::process::id());
            let root = std::env::temp_dir().join(unique);
            let _ = fs::remove_dir_all(&root);
            for (path, text) in files {
                let path = root.join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            }
            Fixture(root)
        }

        fn limit(&self) -> Option<u64> {
            limit_below(&self.0, MEMORY)
        }

        fn millicpus(&self) -> Option<u64> {
            limit_below(&self.0, CPU)
        }
    }

    impl Drop for Fixture {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    const V2_MOUNT: &str = "25 30 0:23 / /proc rw - proc proc rw\n\
        29 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
    const V1_MOUNT: &str = "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
        35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory\n";

    #[test]
    fn the_smallest_limit_on_the_way_up_counts() {
        let files = |own, middle| {
            [
                ("proc/self/cgroup", "0::/system.slice/cache.slice/ringwell.service\n"),
                ("proc/self/mountinfo", V2_MOUNT),
                ("sys/fs/cgroup/system.slice/memory.max", "8000000000\n"),
                ("sys/fs/cgroup/system.slice/cache.slice/memory.max", middle),
                ("sys/fs/cgroup/system.slice/cache.slice/ringwell.service/memory.max", own),
                // Somebody else's.
                ("sys/fs/cgroup/user.slice/memory.max", "1\n"),
            ]
        };
        for (own, middle, expected) in [
            ("max\n", "max\n", 8_000_000_000),
            ("max\n", "3000000000\n", 3_000_000_000),
            ("2000000000\n", "3000000000\n", 2_000_000_000),
            ("4000000000\n", "3000000000\n", 3_000_000_000),
        ] {
            let fixture = Fixture::new("v2", &files(own, middle));
            assert_eq!(fixture.limit(), Some(expected), "{own:?} {middle:?}");
        }
    }

    #[test]
    fn a_container_with_its_own_namespace_sees_its_group_as_the_root() {
        let files = [
            ("proc/self/cgroup", "0::/\n"),
            ("proc/self/mountinfo", V2_MOUNT),
            ("sys/fs/cgroup/memory.max", "536870912\n"),
        ];
        assert_eq!(Fixture::new("namespace", &files).limit(), Some(536_870_912));
    }

    #[test]
    fn version_1_has_a_hierarchy_of_its_own_for_memory() {
        let files = [
            ("proc/self/cgroup", "5:cpu,cpuacct:/\n4:memory:/outer/inner\n1:name=systemd:/x\n"),
            ("proc/self/mountinfo", V1_MOUNT),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("sys/fs/cgroup/memory/outer/memory.limit_in_bytes", "1000000000\n"),
            ("sys/fs/cgroup/memory/outer/inner/memory.limit_in_bytes", "2000000000\n"),
        ];
        assert_eq!(Fixture::new("v1", &files).limit(), Some(1_000_000_000));
    }

    /// Without a namespace of its own a container is shown the path that the host knows, and its
    /// own group at the mount point.
    #[test]
    fn a_mount_of_a_part_of_the_tree_begins_at_its_group() {
        let mount = "35 31 0:32 /docker/4f2a /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n";
        let limit = ("sys/fs/cgroup/memory/memory.limit_in_bytes", "700000000\n");
        let inner = ("sys/fs/cgroup/memory/inner/memory.limit_in_bytes", "600000000\n");
        for (group, expected) in [
            ("9:memory:/docker/4f2a\n", 700_000_000),
            ("9:memory:/docker/4f2a/inner\n", 600_000_000),
            // Beside what is mounted.
            ("9:memory:/docker/other\n", 700_000_000),
            ("9:memory:/docker/4f2a/../other/inner\n", 700_000_000),
        ] {
            let files = [("proc/self/cgroup", group), ("proc/self/mountinfo", mount), limit, inner];
            assert_eq!(Fixture::new("part", &files).limit(), Some(expected), "{group:?}");
        }
    }

    #[test]
    fn both_versions_at_once_and_neither() {
        let hybrid =
            format!("{V1_MOUNT}41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 none rw\n");
        let files = [
            ("proc/self/cgroup", "4:memory:/a\n0::/a\n"),
            ("proc/self/mountinfo", hybrid.as_str()),
            ("sys/fs/cgroup/memory/a/memory.limit_in_bytes", "500\n"),
        ];
        assert_eq!(Fixture::new("hybrid", &files).limit(), Some(500));
        assert_eq!(Fixture::new("neither", &[]).limit(), None);
        let files = [
            ("proc/self/cgroup", "0::/a\nnonsense\n1:memory\n"),
            ("proc/self/mountinfo", "nonsense\n1 2 - cgroup2\n"),
        ];
        assert_eq!(Fixture::new("nonsense", &files).limit(), None);
    }

    #[test]
    fn mount_points_may_hold_blanks() {
        assert_eq!(unescape("/a\\040b\\134c"), Path::new("/a b\\c"));
        assert_eq!(unescape("/a\\09\\"), Path::new("/a\\09\\"));
        let mount = "35 31 0:32 / /my\\040groups rw - cgroup2 cgroup2 rw\n";
        let files = [
            ("proc/self/cgroup", "0::/a\n"),
            ("proc/self/mountinfo", mount),
            ("my groups/a/memory.max", "900\n"),
        ];
        assert_eq!(Fixture::new("blanks", &files).limit(), Some(900));
    }

    #[test]
    fn the_smallest_quota_of_processor_time_counts() {
        let files = |own, above| {
            [
                ("proc/self/cgroup", "0::/outer/ringwell.service\n"),
                ("proc/self/mountinfo", V2_MOUNT),
                ("sys/fs/cgroup/outer/cpu.max", above),
                ("sys/fs/cgroup/outer/ringwell.service/cpu.max", own),
            ]
        };
        for (own, above, expected) in [
            ("max 100000\n", "max 100000\n", None),
            ("200000 100000\n", "max 100000\n", Some(2000)),
            ("max 100000\n", "150000 100000\n", Some(1500)),
            ("400000 100000\n", "50000 200000\n", Some(250)),
            ("400000 0\n", "nonsense\n", None),
            ("18446744073709551615 1000\n", "max\n", Some(u64::MAX / 1000)),
        ] {
            let fixture = Fixture::new("quota-v2", &files(own, above));
            assert_eq!(fixture.millicpus(), expected, "{own:?} {above:?}");
            assert_eq!(fixture.limit(), None);
        }
        let files = |quota| {
            [
                ("proc/self/cgroup", "5:cpu,cpuacct:/a\n4:memory:/b\n"),
                ("proc/self/mountinfo", V1_MOUNT),
                ("sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", quota),
                ("sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us", "100000\n"),
            ]
        };
        assert_eq!(Fixture::new("quota-v1", &files("250000\n")).millicpus(), Some(2500));
        assert_eq!(Fixture::new("no-quota-v1", &files("-1\n")).millicpus(), None);
    }
}
