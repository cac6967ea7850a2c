import ArgumentParser
import Glibc

@main
struct Coffre: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "coffre",
        abstract: "Command line of the Coffre credential vault.",
        discussion: """
            The daemon is reached on its Unix socket and knows you by your uid; no token is needed where it grants you a \
            role. Secrets are read from files, standard input or a prompt, never from the arguments, which every process \
            of the machine can see.

            EXAMPLES
              coffre status
              coffre kv put secret/app/db user=@user.txt password=-
              coffre kv get --field password secret/app/db
              coffre run --env PGPASSWORD=database/creds/reports#password \\
                         --env PGUSER=database/creds/reports#username -- psql -h db
              coffre connector show postgresql
              coffre audit verify /var/lib/coffre-audit

            EXIT STATUS
              0 success    1 error    2 sealed    3 not allowed    4 nothing there
              5 audit log does not verify    64 usage    69 daemon unreachable
              126, 127 run: command cannot be executed, not found    128+N signal N
              run returns the status of the command it ran.

            SHELL COMPLETION
              coffre --generate-completion-script bash > /etc/bash_completion.d/coffre
              (also zsh and fish)

            coffre(1) tells the rest.
            """,
        version: "0.1.0",
        subcommands: [
            StatusCommand.self, OperatorCommand.self, KVCommand.self, ReadCommand.self, WriteCommand.self,
            ListCommand.self, DeleteCommand.self, ConnectorCommand.self, ConnectionCommand.self,
            RotationCommand.self, ApprovalCommand.self, LeaseCommand.self, TokenCommand.self, PolicyCommand.self,
            AuditCommand.self, AnomalyCommand.self, DecoyCommand.self, RunCommand.self,
        ]
    )

    static func main() async {
        // No core file can hold a secret. 1 byte, not 0: a core_pattern that is a pipe ignores 0 and is stopped by 1
        // (Linux, fs/coredump.c). The hard limit too, so that the command of `run` does not raise it again.
        var least = rlimit(rlim_cur: 1, rlim_max: 1)
        setrlimit(__rlimit_resource_t(RLIMIT_CORE.rawValue), &least)
        StandardOutput.endings()
        InheritedSignals.remember()
        await main(nil)
    }
}
