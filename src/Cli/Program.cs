using Conclave.Cli;

return await CommandLine.Run(args);
