# Judge letters as `spamassassin -L -t` does, many in one process: score, rules, file.
use strict;
use warnings;
use File::Temp 'tempdir';
use Mail::SpamAssassin;

my $home = tempdir(CLEANUP => 1);
my $judge = Mail::SpamAssassin->new({
    local_tests_only     => 1,
    dont_copy_prefs      => 1,
    userprefs_filename   => '/dev/null',
    userstate_dir        => $home,
    home_dir_for_helpers => $home,
});
$judge->init(1);
for my $file (@ARGV) {
    open my $handle, '<:raw', $file or die "$file: $!";
    my $letter = do { local $/; <$handle> };
    $letter =~ s/\r\n/\n/g;    # as a server keeps it
    my $parsed = $judge->parse($letter);
    my $status = $judge->check($parsed);
    printf "%.3f %s %s\n", $status->get_score,
        $status->get_names_of_tests_hit || '-', $file;
    $status->finish;
    $parsed->finish;
}
