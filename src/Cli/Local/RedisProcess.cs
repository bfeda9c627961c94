using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text;

namespace Conclave.Cli.Local;

/// <summary>A redis-server for one local cluster: loopback only, with a password, nothing kept on disk.</summary>
internal sealed class RedisProcess(LocalClusterDirectory directory, int port)
{
    private readonly string _password = Convert.ToHexString(RandomNumberGenerator.GetBytes(24));

    public int Port { get; } = port;

    /// <summary>Writes configuration and password, for this user's eyes only, and gives the words that start the server.</summary>
    /// <exception cref="InvalidOperationException">There is no redis-server.</exception>
    public string[] Command()
    {
        LocalClusterDirectory.WriteSecret(directory.RedisPasswordPath, _password);
        LocalClusterDirectory.WriteSecret(directory.RedisConfigurationPath,
            $"bind 127.0.0.1\nport {Port}\nprotected-mode yes\nrequirepass {_password}\nsave \"\"\nappendonly no\ndir \"{directory.TemporaryPath}\"\n");
        string program = (Environment.GetEnvironmentVariable("PATH") ?? "").Split(':').Append("/usr/sbin")
            .Select(folder => Path.Combine(folder, "redis-server")).FirstOrDefault(File.Exists)
            ?? throw new InvalidOperationException("redis-server was not found; install it (Debian and Ubuntu: 'apt-get install redis-server'), or use --no-redis to let the first silo keep membership");
        return [program, directory.RedisConfigurationPath];
    }

    /// <summary>Whether it takes the password and answers.</summary>
    public async Task<bool> Answers(CancellationToken cancellationToken)
    {
        try
        {
            using var client = new TcpClient();
            await client.ConnectAsync(IPAddress.Loopback, Port, cancellationToken);
            NetworkStream stream = client.GetStream();
            await stream.WriteAsync(Encoding.ASCII.GetBytes($"AUTH {_password}\r\nPING\r\n"), cancellationToken);
            using var reader = new StreamReader(stream);
            return await reader.ReadLineAsync(cancellationToken) == "+OK" && await reader.ReadLineAsync(cancellationToken) == "+PONG";
        }
        catch (Exception e) when (e is SocketException or IOException)
        {
            // It does not listen yet.
            return false;
        }
    }
}
