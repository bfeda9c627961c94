using System.Diagnostics;
using Conclave.Engine.Pages;

namespace Conclave.Engine.Tests.Pages;

public sealed class KvDiskTests
{
    [Fact]
    public void Evicted_pages_come_back()
    {
        using var tier = new DiskTier();
        using KvMemory memory = tier.Open(pageCount: 5);
        Sequence(1).RunThrough(memory);
        Sequence(2).RunThrough(memory);
        Sequence(3).RunThrough(memory);
        Assert.Equal(0, memory.CachedTokens(Sequence(1).Tokens.ToArray(), ""));

        // Written or still on the way: both are found.
        PagedSequence again = Sequence(1);
        Assert.Equal(192, tier.Admit(memory, again));
        Assert.Equal(3, memory.DiskStatus!.Reads);
        memory.Release(again.Pages);
        Assert.Equal((0, 0L), (tier.Find(memory, Sequence(1, "tenant")), memory.DiskStatus.Damaged));
        Assert.Equal(128, tier.Find(memory, new PagedSequence("", [.. Sequence(2).Tokens[..140], 5, 5], 20)));
    }

    [Fact]
    public void A_restart_finds_what_was_cached()
    {
        using var tier = new DiskTier();
        KvMemory first = tier.Open(pageCount: 50);
        for (int i = 0; i < 10; i++)
            Sequence(i, i % 2 == 0 ? "" : "tenant").RunThrough(first);
        DiskTier.Save(first);
        Assert.Equal(30, tier.Files.Length);
        Assert.DoesNotContain(tier.Files, file => file.Contains("tenant", StringComparison.Ordinal));

        using KvMemory second = tier.Open(pageCount: 50);
        Assert.Equal(30, second.DiskStatus!.Pages);
        for (int i = 0; i < 10; i++)
        {
            Assert.Equal(0, tier.Find(second, Sequence(i, i % 2 == 0 ? "tenant" : "")));
            Assert.Equal(192, tier.Find(second, Sequence(i, i % 2 == 0 ? "" : "tenant")));
        }

        Assert.Equal((30, 30L, 0L), (second.DiskStatus.Pages, second.DiskStatus.Reads, second.DiskStatus.Writes));
        Assert.Empty(tier.Log.Warnings);
    }

    [Fact]
    public void Pages_of_another_model_are_discarded()
    {
        using var tier = new DiskTier();
        KvMemory first = tier.Open(pageCount: 50);
        Sequence(1).RunThrough(first);
        DiskTier.Save(first);
        File.WriteAllText(Path.Combine(tier.Directory, "notes.txt"), "not ours");
        using (KvMemory other = tier.Open(pageCount: 50, identity: "model, trained further"))
        {
            Assert.Equal((0, 3L), (other.DiskStatus!.Pages, other.DiskStatus.Damaged));
            Assert.Equal(0, tier.Find(other, Sequence(1)));
        }

        Assert.Contains("3 files", Assert.Single(tier.Log.Warnings), StringComparison.Ordinal);
        Assert.Empty(tier.Files);
        Assert.True(File.Exists(Path.Combine(tier.Directory, "notes.txt")));
    }

    [Theory]
    [InlineData(1, false)]
    [InlineData(2, false)]
    [InlineData(3, true)]
    [InlineData(4, true)]
    public void A_damaged_file_is_discarded_and_never_served(int seed, bool isWhileRunning)
    {
        var random = new Random(seed);
        using var tier = new DiskTier();
        for (int round = 0; round < 40; round++)
        {
            KvMemory writer = tier.Open(pageCount: 50);
            Sequence(1).RunThrough(writer);
            DiskTier.Save(writer);
            KvMemory? running = isWhileRunning ? tier.Open(pageCount: 50) : null;
            string victim = tier.Files[random.Next(3)];
            Damage(random, victim, tier.Files);
            using KvMemory memory = running ?? tier.Open(pageCount: 50);

            // Admit compares every value that it got.
            int found = tier.Find(memory, Sequence(1));
            Assert.True(found < 192, "a damaged page was served");
            Assert.Equal(found, tier.Find(memory, Sequence(1)));
            Assert.False(File.Exists(victim));
            Assert.Equal((1L, round + 1), (memory.DiskStatus!.Damaged, tier.Log.Warnings.Count));
        }
    }

    [Fact]
    public void The_directory_stays_within_its_size_and_keeps_what_was_used_last()
    {
        using var tier = new DiskTier();
        using KvMemory memory = tier.Open(pageCount: 4, maxFiles: 9);
        for (int i = 0; i < 8; i++)
        {
            Sequence(i).RunThrough(memory);
            DiskTier.StatusWhen(memory, status => status.Writes == 3 * i);
            tier.Clock.Advance(TimeSpan.FromSeconds(1));
            Assert.True(tier.Files.Length <= 9);
        }

        // 4 to 6 are there, and 7, for which 4 makes room, takes the place of 5: the oldest by now.
        Assert.Equal(9, memory.DiskStatus!.Pages);
        Assert.Equal(192, tier.Find(memory, Sequence(4)));
        DiskTier.StatusWhen(memory, status => status.Writes == 24);
        Assert.Equal((0, 0), (tier.Find(memory, Sequence(3)), tier.Find(memory, Sequence(5))));
        foreach (int kept in (int[])[6, 7, 4])
            Assert.Equal(192, tier.Find(memory, Sequence(kept)));
        Assert.Equal((9, 24L), (memory.DiskStatus.Pages, memory.DiskStatus.Writes));
    }

    [Fact]
    public void After_a_restart_what_was_read_is_newer_and_loses_its_last_page_first()
    {
        using var tier = new DiskTier();
        KvMemory memory = tier.Open(pageCount: 50, maxFiles: 6);
        Sequence(0).RunThrough(memory);
        Sequence(1).RunThrough(memory);
        DiskTier.Save(memory);
        using (memory = tier.Open(pageCount: 50, maxFiles: 6))
            Assert.Equal(192, tier.Find(memory, Sequence(0)));

        // Four pages of others push out as many. First pages are of use without the last one, but not the other way round.
        using KvMemory last = tier.Open(pageCount: 4, maxFiles: 6);
        Sequence(2).RunThrough(last);
        Sequence(3).RunThrough(last);
        new PagedSequence("", Sequence(4).Tokens[..100], maxPages: 20).RunThrough(last);
        DiskTier.StatusWhen(last, status => status.Writes == 4);
        // This one first: looking for any takes room in memory, and what gives way is written and pushes out others.
        Assert.Equal((128, 0), (tier.Find(last, Sequence(0)), tier.Find(last, Sequence(1))));
    }

    [Fact]
    public void The_end_saves_what_was_used_last_when_the_disk_holds_less_than_memory()
    {
        using var tier = new DiskTier();
        KvMemory first = tier.Open(pageCount: 50, maxFiles: 9);
        for (int i = 0; i < 8; i++)
            Sequence(i).RunThrough(first);
        DiskTier.Save(first);
        using KvMemory second = tier.Open(pageCount: 50, maxFiles: 9);
        for (int i = 0; i < 8; i++)
            Assert.Equal(i < 5 ? 0 : 192, tier.Find(second, Sequence(i)));
    }

    [Fact]
    public void Without_the_disk_serving_goes_on_and_it_is_tried_again_later()
    {
        using var tier = new DiskTier();
        using KvMemory memory = tier.Open(pageCount: 4);

        // Nothing can be written under this name while a directory has it; permissions would not stop root.
        string obstacle = Path.Combine(tier.Directory, "writing.tmp");
        Directory.CreateDirectory(obstacle);
        for (int i = 0; i < 5; i++)
            Assert.Equal(0, Sequence(i).RunThrough(memory));
        KvDiskStatus status = DiskTier.StatusWhen(memory, status => status.Dropped == 12);
        Assert.Equal((0, 0L, 1L), (status.Pages, status.Writes, status.Failures));
        Assert.Contains("--kv-disk", Assert.Single(tier.Log.Warnings), StringComparison.Ordinal);

        Directory.Delete(obstacle);
        tier.Clock.Advance(TimeSpan.FromSeconds(31));
        Sequence(10).RunThrough(memory);
        Sequence(11).RunThrough(memory);
        DiskTier.StatusWhen(memory, status => status.Writes > 0);
    }

    [Fact]
    public void A_directory_that_vanishes_is_a_warning_and_nothing_is_served()
    {
        using var tier = new DiskTier();
        using KvMemory memory = tier.Open(pageCount: 4);
        Sequence(0).RunThrough(memory);
        Sequence(1).RunThrough(memory);
        DiskTier.StatusWhen(memory, status => status.Writes == 3);
        Directory.Delete(tier.Directory, recursive: true);
        Assert.Equal(0, tier.Find(memory, Sequence(0)));
        Sequence(2).RunThrough(memory);
        KvDiskStatus status = DiskTier.StatusWhen(memory, status => status.Failures == 1);
        Directory.CreateDirectory(tier.Directory);

        // Pages whose files are gone are nothing that was damaged.
        Assert.Equal(0L, status.Damaged);
        Assert.Contains("--kv-disk", Assert.Single(tier.Log.Warnings), StringComparison.Ordinal);
    }

    [Fact]
    public void A_full_disk_is_a_warning()
    {
        using var tier = new DiskTier(Directory.CreateTempSubdirectory("conclave-full-").FullName);
        using Process? mount = Process.Start(new ProcessStartInfo("mount", ["-t", "tmpfs", "-o", "size=64k", "tmpfs", tier.Directory]) { RedirectStandardError = true });
        mount!.WaitForExit();
        if (mount.ExitCode != 0)
            return; // Only root may mount; the test before this one covers the rest.
        try
        {
            using KvMemory memory = tier.Open(pageCount: 4);
            for (int i = 0; i < 10; i++)
            {
                Sequence(i).RunThrough(memory);
                DiskTier.StatusWhen(memory, status => status.Writes + status.Dropped == 3 * i);
            }

            KvDiskStatus status = memory.DiskStatus!;
            Assert.True(status.Failures > 0 && status.Pages > 0 && status.Pages == tier.Files.Length, $"{status}");
            Assert.NotEmpty(tier.Log.Warnings);
            Assert.Equal(192, tier.Find(memory, Sequence(0)));
        }
        finally
        {
            using Process unmount = Process.Start("umount", [tier.Directory]);
            unmount.WaitForExit();
        }
    }

    [Fact]
    public void A_directory_that_cannot_be_used_is_refused_at_the_start()
    {
        using var tier = new DiskTier();
        string file = Path.Combine(tier.Directory, "file");
        File.WriteAllText(file, "");
        var notADirectory = new KvTier(new KvDiskOptions { Directory = file, SizeBytes = 1 << 20 }, tier.Clock, tier.Log, () => { });
        Assert.Contains("--kv-disk", Assert.Throws<ArgumentException>(() => PagedSequence.Memory(4, notADirectory)).Message, StringComparison.Ordinal);
        Assert.Contains("--kv-disk-size", Assert.Throws<ArgumentException>(() => tier.Open(pageCount: 4, maxFiles: 0)).Message, StringComparison.Ordinal);
        using KvMemory owner = tier.Open(pageCount: 4);
        Assert.Contains("no other", Assert.Throws<ArgumentException>(() => tier.Open(pageCount: 4)).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(20)]
    [InlineData(90)]
    [InlineData(250)]
    public async Task Killed_in_the_midst_of_writing_it_leaves_whole_files(int afterFiles)
    {
        using var tier = new DiskTier();
        using (Process writer = Process.Start("dotnet", [typeof(KvDiskTests).Assembly.Location, TestProgram.WritePages, tier.Directory]))
        {
            try
            {
                while (tier.Files.Length < afterFiles && !writer.HasExited)
                    await Task.Delay(10);
            }
            finally
            {
                writer.Kill();
                await writer.WaitForExitAsync();
            }
        }

        Assert.True(tier.Files.Length >= afterFiles);
        using KvMemory memory = tier.Open(pageCount: 50);
        Assert.Equal((0L, tier.Files.Length), (memory.DiskStatus!.Damaged, memory.DiskStatus.Pages));
        Assert.False(File.Exists(Path.Combine(tier.Directory, "writing.tmp")));
        for (int i = 0; i < 30; i++)
            tier.Find(memory, Sequence(i));
        Assert.True(memory.DiskStatus.Reads > 0);
        Assert.Empty(tier.Log.Warnings);
    }

    /// <summary>Writes pages, the first ones of which are looked for later, and fewer than the disk holds: who is to kill it may come late. Then waits for that, but not for ever.</summary>
    internal static void WritePages(string directory)
    {
        var tier = new DiskTier(directory);
        using KvMemory memory = tier.Open(pageCount: 4);
        for (int i = 0; i < 300; i++)
            Sequence(i).RunThrough(memory);
        using var never = new ManualResetEventSlim();
        never.Wait(TimeSpan.FromMinutes(5));
    }

    /// <summary>Three full pages and a little more, different for every number from the first token on.</summary>
    private static PagedSequence Sequence(int number, string scope = "") => new(scope, Enumerable.Range(0, 200).Select(i => (number * 1000) + i), maxPages: 20);

    private static void Damage(Random random, string path, string[] files)
    {
        byte[] bytes = File.ReadAllBytes(path);
        switch (random.Next(5))
        {
            case 0:
                File.WriteAllBytes(path, bytes[..random.Next(bytes.Length)]);
                break;
            case 1:
                File.WriteAllBytes(path, [.. bytes, 0]);
                break;
            case 2:
                string other = files.First(file => file != path);
                File.Copy(other, path, overwrite: true);
                break;
            case 3:
                random.NextBytes(bytes.AsSpan(4096 + random.Next(bytes.Length - 4096 - 8), 8));
                File.WriteAllBytes(path, bytes);
                break;
            default:
                // Somewhere that counts: the zeros between header and page do not.
                int at = random.Next(2) == 0 ? random.Next(380) : 4096 + random.Next(bytes.Length - 4096);
                bytes[at] ^= (byte)(1 << random.Next(8));
                File.WriteAllBytes(path, bytes);
                break;
        }
    }
}
