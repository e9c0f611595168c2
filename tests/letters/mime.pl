# Read letters with Email::MIME: a line of JSON for each.
use strict;
use warnings;
use Email::MIME;
use JSON::PP;

my $json = JSON::PP->new->ascii;
for my $file (@ARGV) {
    open my $handle, '<:raw', $file or die "$file: $!";
    my $letter = Email::MIME->new(do { local $/; <$handle> });
    print $json->encode({
        names   => [$letter->header_names],
        subject => scalar $letter->header_str('Subject'),
        to      => [map { $_->address } $letter->header_as_obj('To')->addresses],
        bodies  => [map { $_->body_str } $letter->subparts],
    }), "\n";
}
