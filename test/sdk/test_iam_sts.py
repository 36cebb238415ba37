"""IAM's records and STS's sessions through boto3."""

import json
import os
import signal

import botocore.exceptions
import pytest

from harness import unique_name

TRUST = json.dumps({"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"},
     "Action": "sts:AssumeRole"}]})
POLICY = json.dumps({"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Action": "logs:*", "Resource": "*"}]})
MANAGED = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"

def kill_server(d, wait_until):
    """kill -9 of the server; main starts the next one on the same data."""
    server = wait_until(lambda: d.children().get("server"))
    os.kill(server, signal.SIGKILL)
    wait_until(lambda: d.children().get("server") not in (None, server))

    def answers():
        try:
            return d.client("sts", region_name="us-east-2").get_caller_identity()
        except botocore.exceptions.HTTPClientError:
            return None
    wait_until(answers)
    d._clients.clear()


@pytest.fixture
def iam(client):
    return client("iam")


def code(error):
    return error.value.response["Error"]["Code"]


def test_role_as_terraform_does(iam):
    name = unique_name("role")
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=TRUST, Path="/app/",
                           Description="d", MaxSessionDuration=7200,
                           Tags=[{"Key": "k", "Value": "v"}])["Role"]
    assert role["Arn"] == f"arn:aws:iam::000000000000:role/app/{name}"
    assert role["RoleId"].startswith("AROA") and len(role["RoleId"]) == 21
    got = iam.get_role(RoleName=name)["Role"]
    assert got["AssumeRolePolicyDocument"] == json.loads(TRUST)
    assert got["MaxSessionDuration"] == 7200 and got["Tags"] == [{"Key": "k", "Value": "v"}]
    assert got["CreateDate"] == role["CreateDate"]
    iam.put_role_policy(RoleName=name, PolicyName="inline", PolicyDocument=POLICY)
    assert iam.get_role_policy(RoleName=name, PolicyName="inline")[
        "PolicyDocument"] == json.loads(POLICY)
    assert iam.list_role_policies(RoleName=name)["PolicyNames"] == ["inline"]
    iam.attach_role_policy(RoleName=name, PolicyArn=MANAGED)
    iam.attach_role_policy(RoleName=name, PolicyArn=MANAGED)
    assert iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"] == [
        {"PolicyName": "AWSLambdaBasicExecutionRole", "PolicyArn": MANAGED}]
    iam.update_role(RoleName=name, Description="changed")
    iam.update_assume_role_policy(RoleName=name, PolicyDocument=TRUST)
    iam.tag_role(RoleName=name, Tags=[{"Key": "x", "Value": "y"}])
    iam.untag_role(RoleName=name, TagKeys=["k"])
    assert iam.list_role_tags(RoleName=name)["Tags"] == [{"Key": "x", "Value": "y"}]
    assert iam.list_instance_profiles_for_role(RoleName=name)["InstanceProfiles"] == []
    with pytest.raises(iam.exceptions.DeleteConflictException):
        iam.delete_role(RoleName=name)
    iam.detach_role_policy(RoleName=name, PolicyArn=MANAGED)
    iam.delete_role_policy(RoleName=name, PolicyName="inline")
    iam.delete_role(RoleName=name)
    with pytest.raises(iam.exceptions.NoSuchEntityException) as e:
        iam.get_role(RoleName=name)
    assert f"The role with name {name} cannot be found." in str(e.value)


def test_refusals(iam):
    name = unique_name("role")
    with pytest.raises(iam.exceptions.MalformedPolicyDocumentException):
        iam.create_role(RoleName=name, AssumeRolePolicyDocument="{")
    with pytest.raises(botocore.exceptions.ClientError) as e:
        iam.create_role(RoleName="a b", AssumeRolePolicyDocument=TRUST)
    assert code(e) == "ValidationError"
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=TRUST)
    with pytest.raises(iam.exceptions.EntityAlreadyExistsException):
        iam.create_role(RoleName=name.upper(), AssumeRolePolicyDocument=TRUST)
    for call in (lambda: iam.detach_role_policy(RoleName=name, PolicyArn=MANAGED),
                 lambda: iam.get_role_policy(RoleName=name, PolicyName="none"),
                 lambda: iam.delete_role_policy(RoleName=name, PolicyName="none"),
                 lambda: iam.attach_role_policy(
                     RoleName=name, PolicyArn="arn:aws:iam::000000000000:policy/none"),
                 lambda: iam.get_user(UserName="none")):
        with pytest.raises(iam.exceptions.NoSuchEntityException):
            call()
    iam.delete_role(RoleName=name)


def test_managed_policies(iam):
    name = unique_name("policy")
    policy = iam.create_policy(PolicyName=name, PolicyDocument=POLICY, Description="d",
                               Tags=[{"Key": "k", "Value": "v"}])["Policy"]
    arn = policy["Arn"]
    assert arn == f"arn:aws:iam::000000000000:policy/{name}"
    got = iam.get_policy(PolicyArn=arn)["Policy"]
    assert got["DefaultVersionId"] == "v1" and got["AttachmentCount"] == 0
    assert got["Description"] == "d" and got["Tags"] == [{"Key": "k", "Value": "v"}]
    version = iam.get_policy_version(PolicyArn=arn, VersionId="v1")["PolicyVersion"]
    assert version["Document"] == json.loads(POLICY) and version["IsDefaultVersion"]
    assert iam.create_policy_version(PolicyArn=arn, PolicyDocument=POLICY, SetAsDefault=True)[
        "PolicyVersion"]["VersionId"] == "v2"
    assert [v["VersionId"] for v in iam.list_policy_versions(PolicyArn=arn)["Versions"]] == [
        "v2", "v1"]
    iam.set_default_policy_version(PolicyArn=arn, VersionId="v1")
    with pytest.raises(iam.exceptions.DeleteConflictException):
        iam.delete_policy_version(PolicyArn=arn, VersionId="v1")
    with pytest.raises(iam.exceptions.DeleteConflictException):
        iam.delete_policy(PolicyArn=arn)
    iam.delete_policy_version(PolicyArn=arn, VersionId="v2")
    role = unique_name("role")
    iam.create_role(RoleName=role, AssumeRolePolicyDocument=TRUST)
    iam.attach_role_policy(RoleName=role, PolicyArn=arn)
    assert [r["RoleName"] for r in iam.list_entities_for_policy(PolicyArn=arn)["PolicyRoles"]] == [
        role]
    with pytest.raises(iam.exceptions.DeleteConflictException):
        iam.delete_policy(PolicyArn=arn)
    iam.detach_role_policy(RoleName=role, PolicyArn=arn)
    iam.delete_role(RoleName=role)
    assert arn in [p["Arn"] for p in iam.list_policies(Scope="Local")["Policies"]]
    iam.delete_policy(PolicyArn=arn)
    with pytest.raises(iam.exceptions.NoSuchEntityException):
        iam.get_policy(PolicyArn=arn)
    assert iam.get_policy(PolicyArn=MANAGED)["Policy"]["PolicyName"] == (
        "AWSLambdaBasicExecutionRole")


def test_users_groups_profiles(iam):
    user, group, profile = unique_name("user"), unique_name("group"), unique_name("profile")
    iam.create_user(UserName=user)
    iam.create_group(GroupName=group)
    iam.add_user_to_group(GroupName=group, UserName=user)
    assert [u["UserName"] for u in iam.get_group(GroupName=group)["Users"]] == [user]
    assert [g["GroupName"] for g in iam.list_groups_for_user(UserName=user)["Groups"]] == [group]
    with pytest.raises(iam.exceptions.DeleteConflictException):
        iam.delete_user(UserName=user)
    iam.remove_user_from_group(GroupName=group, UserName=user)
    iam.delete_group(GroupName=group)
    iam.delete_user(UserName=user)
    role = unique_name("role")
    iam.create_role(RoleName=role, AssumeRolePolicyDocument=TRUST)
    iam.create_instance_profile(InstanceProfileName=profile)
    iam.add_role_to_instance_profile(InstanceProfileName=profile, RoleName=role)
    got = iam.get_instance_profile(InstanceProfileName=profile)["InstanceProfile"]
    assert [r["RoleName"] for r in got["Roles"]] == [role]
    with pytest.raises(iam.exceptions.DeleteConflictException):
        iam.delete_role(RoleName=role)
    iam.remove_role_from_instance_profile(InstanceProfileName=profile, RoleName=role)
    iam.delete_instance_profile(InstanceProfileName=profile)
    iam.delete_role(RoleName=role)


def test_paging(iam):
    prefix = unique_name("/p") + "/"
    names = sorted(unique_name("r") for _ in range(5))
    for name in names:
        iam.create_role(RoleName=name, Path=prefix, AssumeRolePolicyDocument=TRUST)
    seen = []
    for page in iam.get_paginator("list_roles").paginate(
            PathPrefix=prefix, PaginationConfig={"PageSize": 2}):
        assert len(page["Roles"]) <= 2
        seen += [r["RoleName"] for r in page["Roles"]]
    assert sorted(seen) == names
    for name in names:
        iam.delete_role(RoleName=name)


def test_access_keys_sign(daemon, iam):
    user = unique_name("signer")
    iam.create_user(UserName=user)
    key = iam.create_access_key(UserName=user)["AccessKey"]
    assert key["AccessKeyId"].startswith("AKIA")
    sts = daemon.client("sts", access_key=key["AccessKeyId"], secret_key=key["SecretAccessKey"])
    me = sts.get_caller_identity()
    assert me["Arn"] == f"arn:aws:iam::000000000000:user/{user}"
    assert me["UserId"].startswith("AIDA")
    assert daemon.client("iam", access_key=key["AccessKeyId"],
                         secret_key=key["SecretAccessKey"]).get_user()["User"]["UserName"] == user
    wrong = daemon.client("sts", access_key=key["AccessKeyId"], secret_key="wrong")
    with pytest.raises(botocore.exceptions.ClientError) as e:
        wrong.get_caller_identity()
    assert code(e) == "SignatureDoesNotMatch"
    iam.update_access_key(UserName=user, AccessKeyId=key["AccessKeyId"], Status="Inactive")
    with pytest.raises(botocore.exceptions.ClientError) as e:
        sts.get_caller_identity()
    assert code(e) == "InvalidClientTokenId"
    iam.create_access_key(UserName=user)
    with pytest.raises(iam.exceptions.LimitExceededException):
        iam.create_access_key(UserName=user)
    for k in iam.list_access_keys(UserName=user)["AccessKeyMetadata"]:
        iam.delete_access_key(UserName=user, AccessKeyId=k["AccessKeyId"])
    iam.delete_user(UserName=user)


def test_who_is_root(client):
    me = client("sts").get_caller_identity()
    assert me["Account"] == "000000000000" and me["Arn"] == "arn:aws:iam::000000000000:root"


def test_sessions(new_daemon, wait_until):
    d = new_daemon()
    d.client("iam").create_role(RoleName="r", AssumeRolePolicyDocument=TRUST)
    answer = d.client("sts").assume_role(
        RoleArn="arn:aws:iam::000000000000:role/r", RoleSessionName="me", DurationSeconds=900)
    arn = "arn:aws:sts::000000000000:assumed-role/r/me"
    assert answer["AssumedRoleUser"]["Arn"] == arn
    c = answer["Credentials"]

    def as_session(token=c["SessionToken"]):
        return d.client("sts", access_key=c["AccessKeyId"], secret_key=c["SecretAccessKey"],
                        session_token=token)
    me = as_session().get_caller_identity()
    assert me["Arn"] == arn and me["UserId"].endswith(":me")
    assert as_session().get_access_key_info(AccessKeyId=c["AccessKeyId"])["Account"] == (
        "000000000000")
    kill_server(d, wait_until)
    assert as_session().get_caller_identity()["Arn"] == arn
    broken = ("A" if c["SessionToken"][30] != "A" else "B")
    for token in (None, c["SessionToken"][:30] + broken + c["SessionToken"][31:]):
        with pytest.raises(botocore.exceptions.ClientError) as e:
            as_session(token).get_caller_identity()
        assert code(e) == "InvalidClientTokenId"
    session = d.client("sts").get_session_token()["Credentials"]
    assert d.client("sts", access_key=session["AccessKeyId"],
                    secret_key=session["SecretAccessKey"],
                    session_token=session["SessionToken"]).get_caller_identity()["Arn"] == (
                        "arn:aws:iam::000000000000:root")
    with pytest.raises(botocore.exceptions.ClientError) as e:
        d.client("sts").assume_role(RoleArn="arn:aws:iam::000000000000:role/none",
                                    RoleSessionName="me")
    assert code(e) == "AccessDenied"


def test_account(iam):
    iam.create_account_alias(AccountAlias="my-alias")
    assert iam.list_account_aliases()["AccountAliases"] == ["my-alias"]
    iam.delete_account_alias(AccountAlias="my-alias")
    assert iam.list_account_aliases()["AccountAliases"] == []
    assert iam.get_account_summary()["SummaryMap"]["Users"] >= 0
